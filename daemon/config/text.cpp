#include "daemon/config/text.hpp"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "daemon/base/build_info.hpp"
#include "daemon/config/file.hpp"
#include "daemon/config/words.hpp"

namespace fastmqttd {
namespace {

// A reference stands for a password, a token or a certificate, not for data.
constexpr std::size_t kMaxFileBytes = 64 << 10;
// What all references of one value come to together.
constexpr std::size_t kMaxValueBytes = 256 << 10;

constexpr std::string_view kKinds =
    "expected ${env:NAME}, ${file:/path} or ${credential:NAME}; write $$ for a dollar";

constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";

bool only(std::string_view text, std::string_view allowed, std::string_view more) {
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return allowed.find(c) != std::string_view::npos || kDigits.find(c) != std::string_view::npos ||
           more.find(c) != std::string_view::npos;
  });
}

std::string from_environment(const std::string& name) {
  if (!only(name, kLetters, ""))
    throw std::runtime_error("is not the name of an environment variable: expected ${env:NAME}");
  const char* value = std::getenv(name.c_str());
  if (value == nullptr)
    throw std::runtime_error(
        "the environment variable is not set: set it (Environment= of the unit) or take the "
        "reference out");
  return value;
}

std::string from_file(const std::string& path) {
  if (!path.starts_with('/'))
    throw std::runtime_error("is not an absolute path: expected ${file:/path}");
  std::string text = read_all(open_regular(path), kMaxFileBytes);
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

// `LoadCredential=fastmqttd:/directory` gives its files the names fastmqttd_NAME.
std::string from_credential(const std::string& name) {
  if (!only(name, kLetters, "-.") || name == "." || name == "..")
    throw std::runtime_error("is not the name of a credential: expected ${credential:NAME}");
  // Without systemd, as for an operator's --check, they are taken from where systemd takes them.
  const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
  if (directory == nullptr || *directory == '\0') {
    directory = build::kCredentialsDirectory;
    if (::access(directory, R_OK | X_OK) != 0 && errno == EACCES)
      throw std::runtime_error(std::string(directory) +
                               " cannot be read: systemd reads it for the unit; run this as root");
  }
  const std::string base = std::string(directory) + "/";
  for (const std::string& file : {base + name, base + "fastmqttd_" + name})
    if (::access(file.c_str(), F_OK) == 0) return from_file(file);
  throw std::runtime_error(
      "there is no such credential: put the file " + name + " into " +
      build::kCredentialsDirectory +
      ", or load it with LoadCredential=, and restart: credentials are those of the start");
}

// `reference` is what stands between `${` and `}`.
std::string resolve(std::string_view reference) {
  const std::size_t colon = std::min(reference.find(':'), reference.size());
  const std::string_view kind = reference.substr(0, colon);
  const std::string name(reference.substr(std::min(colon + 1, reference.size())));
  if (colon < reference.size()) {
    if (kind == "env") return from_environment(name);
    if (kind == "file") return from_file(name);
    if (kind == "credential") return from_credential(name);
  }
  throw std::runtime_error("is no reference that is known: " + std::string(kKinds));
}

std::string resolve_named(std::string_view reference) {
  try {
    return resolve(reference);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error("${" + printable(reference) + "}: " + error.what());
  }
}

}  // namespace

std::string expand(std::string_view source) {
  std::string value;
  while (!source.empty()) {
    const std::size_t dollar = std::min(source.find('$'), source.size());
    value += source.substr(0, dollar);
    source.remove_prefix(dollar);
    if (source.starts_with("$$")) {
      value += '$';
      source.remove_prefix(2);
    } else if (source.starts_with("${")) {
      const std::size_t end = source.find('}');
      if (end == std::string_view::npos)
        throw std::runtime_error("a reference has no closing '}': " + std::string(kKinds));
      value += resolve_named(source.substr(2, end - 2));
      source.remove_prefix(end + 1);
    } else if (!source.empty()) {
      value += '$';
      source.remove_prefix(1);
    }
    if (value.size() > kMaxValueBytes)
      throw std::runtime_error("the references come to more than 256KiB together");
  }
  return value;
}

std::string escape_references(std::string_view value) {
  std::string source;
  for (std::size_t i = 0; i < value.size(); ++i) {
    source += value[i];
    if (value[i] == '$' && i + 1 < value.size() && (value[i + 1] == '$' || value[i + 1] == '{'))
      source += '$';
  }
  return source;
}

bool only_references(std::string_view source) {
  if (source.empty()) return false;
  while (source.starts_with("${")) {
    const std::size_t end = source.find('}');
    if (end == std::string_view::npos) return false;
    source.remove_prefix(end + 1);
  }
  return source.empty();
}

}  // namespace fastmqttd

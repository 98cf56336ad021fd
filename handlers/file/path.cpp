#include "handlers/file/path.hpp"

#include <algorithm>
#include <array>
#include <climits>
#include <cstdint>
#include <cstdio>

#include "handlers/common/state_files.hpp"

namespace fastmqtt::file {
namespace {

constexpr const char* kOption = "path";
constexpr char kPlaceholder = '\x01';      // in what is looked at instead of the template
constexpr std::size_t kLongestPart = 150;  // that a placeholder gives
constexpr std::size_t kRotatedRoom = 27;   // for ~20261127-004753.123.gz.tmp
constexpr std::size_t kLongestName = NAME_MAX - kRotatedRoom;

// FNV-1a: the same in every run, which std::hash does not promise.
std::uint64_t hash(std::string_view text) {
  std::uint64_t value = 14695981039346656037u;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return value;
}

// What a placeholder gives.  One that is long is cut, and told from others that begin like it.
std::string part_of_name(std::string_view text) {
  std::string part;
  for (const char c : common::in_file_name(text))
    c == kRotatedMark ? void(part += "%7E") : void(part += c);
  if (part.size() <= kLongestPart) return part;
  std::array<char, 18> mark{};
  std::snprintf(mark.data(), mark.size(), "%c%016llx", kRotatedMark,
                static_cast<unsigned long long>(hash(text)));
  std::size_t end = kLongestPart - mark.size() + 1;
  while (end > 0 && (static_cast<unsigned char>(part[end]) & 0xC0) == 0x80) --end;
  return part.substr(0, end) + mark.data();
}

// A default, or a form of time, with a '/' would look like a directory and become %2F.
void check_placeholder(std::string_view body) {
  const std::size_t bar = body.find('|');
  const bool is_time = body.starts_with("time:") || body.starts_with("utc:");
  const std::string_view written = is_time                         ? body
                                   : bar == std::string_view::npos ? std::string_view()
                                                                   : body.substr(bar);
  if (written.find('/') != std::string_view::npos)
    throw OptionError(kOption, "'{" + std::string(body) +
                                   "}': a placeholder gives one name: write {time:%Y}/{time:%m} "
                                   "for directories");
}

// The template, which is known to be well-formed, with one character for each placeholder.
std::string outline(std::string_view text) {
  std::string seen;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool doubled = i + 1 < text.size() && text[i + 1] == text[i];
    if (static_cast<unsigned char>(text[i]) < 0x20)
      throw OptionError(kOption, "expected no control characters");
    if (text[i] == '{' && !doubled) {
      const std::size_t end = text.find('}', i);
      check_placeholder(text.substr(i + 1, end - i - 1));
      seen += kPlaceholder;
      i = end;
    } else {
      seen += text[i];
      if (text[i] == '{' || text[i] == '}') ++i;
    }
  }
  return seen;
}

std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> names;
  for (;;) {
    const std::size_t slash = path.find('/');
    names.emplace_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return names;
    path.remove_prefix(slash + 1);
  }
}

std::string pattern(std::string_view name) {
  std::string made;
  for (const char c : name) {
    if (c == kPlaceholder) {
      made += '*';
      continue;
    }
    if (std::string_view("*?[]\\").find(c) != std::string_view::npos) made += '\\';
    made += c;
  }
  return made;
}

void check_names(const std::vector<std::string>& names) {
  for (const std::string& name : names)
    if (name.empty() || name == "." || name == "..")
      throw OptionError(kOption,
                        "expected a path without '//', '/./' and '/../' that ends in the "
                        "name of a file");
  if (names.back().find(kRotatedMark) != std::string::npos)
    throw OptionError(kOption, "expected no '~' in the name of the file: it marks rotated ones");
  for (const std::string& name : names)
    if (common::is_state_file(name))
      throw OptionError(kOption,
                        "'" + name + "' is a file of the daemon's own: expected another name");
}

}  // namespace

Path::Path(const Host& host) : template_(common::template_option(host, kOption, nullptr)) {
  const std::string text = outline(host.required<std::string>(kOption));
  if (!text.starts_with('/'))
    throw OptionError(kOption,
                      "expected an absolute path, such as "
                      "/var/lib/fastmqttd/archive/{topic}.jsonl");
  std::vector<std::string> names = split(std::string_view(text).substr(1));
  check_names(names);
  std::size_t constant = 0;
  while (constant + 1 < names.size() && names[constant].find(kPlaceholder) == std::string::npos)
    root_ += "/" + names[constant++];
  for (; constant < names.size(); ++constant) patterns_.push_back(pattern(names[constant]));
}

std::optional<std::string> Path::fill(common::Source& source, std::string& why) const {
  auto path = template_.fill(source, part_of_name);
  if (!path) {
    why = source.missing();
    return std::nullopt;
  }
  const std::string_view name = std::string_view(*path).substr(path->rfind('/') + 1);
  std::size_t longest = 0;
  const std::string_view below = std::string_view(*path).substr(root_.size() + 1);
  for (const std::string& one : split(below)) {
    if (common::is_state_file(one)) {
      why = "'" + one + "' would be a file of the daemon's own";
      return std::nullopt;
    }
    longest = std::max(longest, one.size());
  }
  if (name.size() > kLongestName || longest > NAME_MAX || path->size() >= PATH_MAX - kRotatedRoom) {
    why = "the name of its file would be too long";
    return std::nullopt;
  }
  return path;
}

}  // namespace fastmqtt::file

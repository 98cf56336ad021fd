#include "daemon/session/kept_session.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <utility>

#include "daemon/base/log.hpp"
#include "daemon/base/unique_fd.hpp"

namespace fastmqttd {
namespace {

// The first that goes wrong; empty when the file is on disk, whole, under its name.
std::string replace_file(const std::filesystem::path& file, const std::string& text) {
  const std::string fresh = file.string() + ".new";
  const auto error = [](const std::string& name) { return name + ": " + std::strerror(errno); };
  {
    const UniqueFd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
    if (!fd) return error(fresh);
    for (std::string_view rest = text; !rest.empty();) {
      const ssize_t written = ::write(fd.get(), rest.data(), rest.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return error(fresh);
      rest.remove_prefix(static_cast<std::size_t>(written));
    }
    if (::fsync(fd.get()) != 0) return error(fresh);
  }
  if (::rename(fresh.c_str(), file.c_str()) != 0) return error(file);
  const UniqueFd directory(::open(file.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) ::fsync(directory.get());
  return {};
}

}  // namespace

KeptSession::KeptSession(const std::filesystem::path& directory, std::string client_id, bool keep)
    : file_(directory / "session.json"), client_id_(std::move(client_id)), keep_(keep) {
  if (keep_)
    read();
  else
    forget();
}

void KeptSession::read() {
  std::ifstream in(file_);
  if (!in) {
    if (errno != ENOENT) warn(file_.string() + ": " + std::strerror(errno));
    return;
  }
  try {
    const nlohmann::json json = nlohmann::json::parse(in);
    const std::string client_id = json.at("client_id");
    if (client_id != client_id_) {
      log::warning(
          "the client_id was {} before: if the broker still has that session, it goes on queueing "
          "messages for it; connect once as {} with a clean session to end it",
          client_id, client_id);
      return;
    }
    filters_ = json.at("filters").get<std::set<std::string>>();
    known_ = true;
  } catch (const nlohmann::json::exception& error) {
    warn(file_.string() + ": " + error.what());
  }
}

void KeptSession::remember(const std::set<std::string>& filters) {
  if (known_ && filters == filters_) return;
  filters_ = filters;
  known_ = true;
  if (!keep_) return;
  const nlohmann::json json{{"client_id", client_id_}, {"filters", filters_}};
  if (const std::string error = replace_file(file_, json.dump(1) + "\n"); !error.empty())
    warn(error);
}

void KeptSession::forget() {
  known_ = false;
  filters_.clear();
  if (::unlink(file_.c_str()) != 0 && errno != ENOENT)
    warn(file_.string() + ": " + std::strerror(errno));
}

void KeptSession::warn(const std::string& what) {
  if (std::exchange(warned_, true)) return;
  log::warning(
      "cannot remember what is subscribed: {}: filters that are taken out of the configuration "
      "will not be unsubscribed; make the directory one that the daemon can write",
      what);
}

}  // namespace fastmqttd

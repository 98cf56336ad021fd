#include "daemon/session/kept_session.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
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

// Its members' names are those in the file.
void to_json(nlohmann::json& json, const KeptSession::Subscription& s) {
  json = {{"qos", s.qos}, {"identifier", s.identifier}, {"since", s.since}};
}
void from_json(const nlohmann::json& json, KeptSession::Subscription& s) {
  s = {json.at("qos"), json.at("identifier"), json.at("since")};
}

KeptSession::KeptSession(const std::filesystem::path& directory, std::string client_id, bool keep)
    : file_(directory / "session.json"), client_id_(std::move(client_id)), keep_(keep) {
  if (keep_)
    read();
  else if (::unlink(file_.c_str()) != 0 && errno != ENOENT)
    warn(file_.string() + ": " + std::strerror(errno));
}

void KeptSession::read() {
  std::error_code error;
  if (!std::filesystem::exists(file_, error) && !error) return;
  try {
    std::ifstream in(file_);
    in.exceptions(std::ios::badbit);
    const nlohmann::json json = nlohmann::json::parse(in);
    const std::string client_id = json.at("client_id");
    if (client_id == client_id_) {
      sessions_ = json.at("sessions").get<std::map<std::string, Filters>>();
      return;
    }
    log::warning(
        "the client_id was {} before: a broker that still has its session goes on queueing "
        "messages for it; to end it: mosquitto_sub -h BROKER -i {} -t x -E",
        client_id, client_id);
  } catch (const std::exception& what) {
    log::warning(
        "{} cannot be read, going on without it: {}: filters taken out of the configuration "
        "meanwhile are not unsubscribed",
        file_.string(), what.what());
  }
}

KeptSession::Filters KeptSession::filters() const {
  if (const auto here = sessions_.find(broker_); here != sessions_.end()) return here->second;
  Filters all;
  for (const auto& [broker, filters] : sessions_)
    for (const auto& [filter, subscription] : filters) all[filter] = {};
  return all;
}

void KeptSession::remember(const Filters& filters) {
  const auto [here, is_new] = sessions_.try_emplace(broker_);
  if (!is_new && here->second == filters) return;
  here->second = filters;
  write();
}

void KeptSession::forget() {
  if (sessions_.erase(broker_) > 0) write();
}

void KeptSession::write() {
  if (!keep_) return;
  const nlohmann::json json{{"client_id", client_id_}, {"sessions", sessions_}};
  if (const std::string error = replace_file(file_, json.dump(1) + "\n"); !error.empty())
    warn(error);
}

void KeptSession::warn(const std::string& what) {
  if (std::exchange(warned_, true)) return;
  log::warning(
      "cannot remember what is subscribed: {}: filters that are taken out of the configuration "
      "will not be unsubscribed; make the directory one that the daemon can write",
      what);
}

}  // namespace fastmqttd

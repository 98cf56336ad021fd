#include "daemon/session/session.hpp"

#include <utility>

#include "daemon/session/session_owner.hpp"

namespace fastmqttd {

Session::Session(SessionSettings settings, const std::filesystem::path& state_directory,
                 Spool& spool, Dispatcher& dispatcher, std::function<void()> attention)
    : owner_(std::make_unique<Owner>(std::move(settings), state_directory, spool, dispatcher,
                                     std::move(attention))) {}
Session::~Session() = default;
void Session::start() { owner_->start(); }
void Session::stop() { owner_->stop(); }
void Session::change(std::optional<SessionSettings> settings) {
  owner_->change(std::move(settings));
}
SessionState Session::state() const { return owner_->state(); }
std::optional<std::string> Session::stuck(TimePoint now) const { return owner_->stuck(now); }

}  // namespace fastmqttd

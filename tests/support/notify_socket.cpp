#include "tests/support/notify_socket.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <system_error>

namespace fastmqttd::testing {
namespace {

UniqueFd bound_socket(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw std::system_error(errno, std::generic_category(), "bind " + path);
  return fd;
}

}  // namespace

NotifySocket::NotifySocket()
    : socket_(bound_socket(path())),
      stop_event_(eventfd(0, EFD_CLOEXEC)),
      reader_([this](const std::stop_token& stop) { read(stop); }) {}

void NotifySocket::read(const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] { eventfd_write(stop_event_.get(), 1); });
  std::array<char, 4096> buffer{};
  while (!stop.stop_requested()) {
    std::array<pollfd, 2> sources{{{socket_.get(), POLLIN, 0}, {stop_event_.get(), POLLIN, 0}}};
    if (poll(sources.data(), sources.size(), -1) < 0 || sources[0].revents == 0) continue;
    const ssize_t size = recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (size < 0) continue;
    const std::string_view datagram(buffer.data(), static_cast<std::size_t>(size));
    const auto now = std::chrono::steady_clock::now();
    const std::lock_guard lock(mutex_);
    for (std::string& line : split(datagram, '\n'))
      if (!line.empty()) lines_.push_back({std::move(line), now});
  }
}

NotifySocket::Lines NotifySocket::lines() {
  const std::lock_guard lock(mutex_);
  return lines_;
}

void NotifySocket::clear() {
  const std::lock_guard lock(mutex_);
  lines_.clear();
}

int NotifySocket::count(std::string_view start) {
  return static_cast<int>(std::ranges::count_if(
      lines(), [&](const Line& line) { return line.text.starts_with(start); }));
}

std::string NotifySocket::last(std::string_view start) {
  std::string text;
  for (const Line& line : lines())
    if (line.text.starts_with(start)) text = line.text;
  return text;
}

bool NotifySocket::wait_for(std::string_view start, int times, Milliseconds within) {
  return eventually(within, [&] { return count(start) >= times; });
}

std::string NotifySocket::text() {
  std::string text;
  for (const Line& line : lines()) text += line.text + "\n";
  return text;
}

}  // namespace fastmqttd::testing

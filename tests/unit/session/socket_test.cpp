#include "daemon/session/socket.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <thread>

#include "daemon/base/unique_fd.hpp"

namespace fastmqttd {
namespace {

// A listening socket on a free loopback port.
class Listener {
 public:
  Listener() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    ::listen(fd_.get(), 4);
    endpoint_.size = sizeof endpoint_.address;
    ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&endpoint_.address), &endpoint_.size);
  }
  const Endpoint& endpoint() const { return endpoint_; }
  UniqueFd accept() const { return UniqueFd(::accept(fd_.get(), nullptr, nullptr)); }
  UniqueFd connect() const {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_EQ(
        ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&endpoint_.address), endpoint_.size),
        0);
    return fd;
  }

 private:
  UniqueFd fd_;
  Endpoint endpoint_;
};

TEST(Socket, ResolvesAddressesAndNames) {
  std::string why;
  const auto v4 = resolve("127.0.0.1", 1883, why);
  ASSERT_EQ(v4.size(), 1u);
  EXPECT_EQ(v4[0].text(), "127.0.0.1:1883");
  EXPECT_EQ(resolve("::1", 8883, why).at(0).text(), "[::1]:8883");
  EXPECT_TRUE(resolve("no.such.host.invalid", 1883, why).empty());
  EXPECT_NE(why, "");
}

TEST(Socket, ProbeNamesTheError) {
  std::string why;
  Endpoint closed;
  {
    const Listener listener;
    EXPECT_TRUE(connect_to(listener.endpoint(), Duration(1000), why)) << why;
    closed = listener.endpoint();
  }
  EXPECT_FALSE(connect_to(closed, Duration(1000), why));
  EXPECT_EQ(why, "Connection refused");
}

TEST(Socket, FindsItsOwnByThePeer) {
  const Listener one, other;
  const UniqueFd fd = one.connect(), unrelated = other.connect();
  const auto found = sockets_to(one.endpoint());
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].fd, fd.get());

  set_no_delay(found[0]);
  int on = 0;
  socklen_t size = sizeof on;
  ::getsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, &size);
  EXPECT_EQ(on, 1);
}

TEST(Socket, ShutsDownThatSocketOnly) {
  const Listener listener;
  UniqueFd fd = listener.connect();
  const OwnSocket socket = sockets_to(listener.endpoint()).at(0);
  EXPECT_TRUE(shut_down(socket));
  EXPECT_EQ(::send(fd.get(), "x", 1, MSG_NOSIGNAL), -1);
  EXPECT_TRUE(shut_down(socket)) << "nothing can leave it either";

  // The descriptor now leads to another socket.
  const UniqueFd other = listener.connect();
  ASSERT_EQ(::dup2(other.get(), fd.get()), fd.get());
  EXPECT_FALSE(shut_down(socket));
  EXPECT_EQ(::send(other.get(), "x", 1, MSG_NOSIGNAL), 1);
}

TEST(Socket, LingersUntilThePeerHasReadEverything) {
  const Listener listener;
  UniqueFd fd = listener.connect();
  const UniqueFd peer = listener.accept();
  ASSERT_EQ(::send(peer.get(), "unread", 6, 0), 6);
  std::thread reader([&] {
    char text[8];
    EXPECT_EQ(::recv(peer.get(), text, sizeof text, 0), 3) << "no reset before";
    EXPECT_EQ(::recv(peer.get(), text, sizeof text, 0), 0) << "nor behind";
    ::shutdown(peer.get(), SHUT_RDWR);
  });
  {
    const Linger linger(sockets_to(listener.endpoint()));
    ASSERT_EQ(::send(fd.get(), "bye", 3, 0), 3);
    fd = UniqueFd();
  }
  reader.join();
}

TEST(Socket, LeavesASocketThatIsStillInUse) {
  const Listener listener;
  const UniqueFd fd = listener.connect();
  { const Linger linger(sockets_to(listener.endpoint())); }
  EXPECT_EQ(::send(fd.get(), "x", 1, MSG_NOSIGNAL), 1);
}

}  // namespace
}  // namespace fastmqttd

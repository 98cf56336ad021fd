#include "daemon/session/socket.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <unistd.h>

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
    EXPECT_EQ(probe(listener.endpoint(), Duration(1000)), "");
    closed = listener.endpoint();
  }
  EXPECT_EQ(probe(closed, Duration(1000)), "Connection refused");
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

}  // namespace
}  // namespace fastmqttd

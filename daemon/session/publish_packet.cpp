#include "daemon/session/publish_packet.hpp"

#include <cstdint>

namespace fastmqttd {
namespace {

constexpr unsigned kPublish = 3;

// Takes bytes off the front; remembers when there were too few.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  unsigned byte() {
    const std::string_view one = take(1);
    return one.empty() ? 0 : static_cast<unsigned char>(one[0]);
  }
  std::string_view take(std::size_t count) {
    good_ = good_ && count <= rest_.size();
    if (!good_) return {};
    const std::string_view front = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return front;
  }
  // A "variable byte integer": seven bits a byte, four bytes at most.
  std::size_t length() {
    std::size_t length = 0;
    for (unsigned shift = 0; shift < 28; shift += 7) {
      const unsigned next = byte();
      length |= static_cast<std::size_t>(next & 0x7F) << shift;
      if (next < 0x80) return length;
    }
    good_ = false;
    return 0;
  }
  std::string_view rest() const { return rest_; }
  bool good() const { return good_; }

 private:
  std::string_view rest_;
  bool good_ = true;
};

}  // namespace

std::optional<PublishPacket> parse_publish(std::string_view packet, bool mqtt5) {
  Reader reader(packet);
  const unsigned header = reader.byte();
  const std::size_t length = reader.length();
  if (!reader.good() || header >> 4 != kPublish || length != reader.rest().size())
    return std::nullopt;
  PublishPacket publish;
  publish.dup = (header & 8) != 0;
  publish.qos = header >> 1 & 3;
  publish.retain = (header & 1) != 0;
  const unsigned high = reader.byte();
  publish.topic = reader.take(high << 8 | reader.byte());
  if (publish.qos > 0) reader.take(2);      // the packet identifier
  if (mqtt5) reader.take(reader.length());  // the properties
  publish.payload = reader.rest();
  if (!reader.good() || publish.qos > 2) return std::nullopt;
  return publish;
}

}  // namespace fastmqttd

#include "daemon/session/client_id.hpp"

#include <systemd/sd-id128.h>

#include <cstdint>

namespace fastmqttd {

std::optional<std::string> default_client_id(std::string_view instance) {
  // This program's own id, with the instance mixed in (FNV-1a); systemd hashes it with the machine
  // id by HMAC-SHA256.
  sd_id128_t app = {{0x6b, 0x1d, 0x2f, 0xa4, 0x93, 0x0e, 0x4c, 0x57, 0x8a, 0xb0, 0xd1, 0x5e, 0x77,
                     0xc2, 0x39, 0xf8}};
  std::uint64_t hash = 14695981039346656037u;
  for (const char c : instance) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  for (int i = 0; i < 8; ++i) app.bytes[i] ^= static_cast<std::uint8_t>(hash >> (8 * i));
  sd_id128_t id;
  if (sd_id128_get_machine_app_specific(app, &id) < 0) return std::nullopt;
  char digits[SD_ID128_STRING_MAX];
  return "fastmqttd-" + std::string(sd_id128_to_string(id, digits)).substr(0, 12);
}

}  // namespace fastmqttd

// Throws when it is loaded.
#include <stdexcept>

#include "tests/handlers/stub.h"

namespace {

const int kLicence = [] {
  if (FASTMQTT_MAX_BATCH > 0) throw std::runtime_error("no licence found");
  return 1;
}();

}  // namespace

const fastmqtt_handler fastmqtt_handler_v1 = {sizeof(fastmqtt_handler),
                                              static_cast<uint32_t>(kLicence * 0),
                                              "constructor_throws",
                                              "1.0",
                                              nullptr,
                                              nullptr,
                                              stub_create,
                                              stub_destroy,
                                              stub_on_messages,
                                              nullptr};

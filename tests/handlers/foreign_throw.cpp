// Without the glue, and with a C++ runtime of its own linked in: what its option `where` names
// throws, through the C interface, an exception that is not of the daemon's runtime.
#include <stdexcept>
#include <string_view>

#include "tests/handlers/stub.h"

namespace {

const fastmqtt_host* the_host;

void throw_in(std::string_view place) {
  const fastmqtt_view where = the_host->config(the_host, "where");
  if (where.data && std::string_view(where.data, where.size) == place)
    throw std::runtime_error("thrown by another runtime");
}

void* create(const fastmqtt_host* host) {
  the_host = host;
  throw_in("create");
  return stub_create(host);
}
void destroy(void*) { throw_in("destroy"); }
void on_messages(void*, const fastmqtt_message* const*, size_t, fastmqtt_result*) {
  throw_in("on_messages");
}

const char* const kTopics[] = {"foreign", nullptr};
const char* const kOptions[] = {"where", nullptr};

}  // namespace

const fastmqtt_handler fastmqtt_handler_v1 = {sizeof(fastmqtt_handler),
                                              0,
                                              "foreign_throw",
                                              "1.0",
                                              kTopics,
                                              kOptions,
                                              create,
                                              destroy,
                                              on_messages,
                                              nullptr};

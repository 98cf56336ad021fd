/* Is well-formed, but no option can please it. */
#include "tests/handlers/stub.h"

static void* create(const fastmqtt_host* host) {
  static const char kWhat[] = "a colour that does not exist";
  host->config_error(host, "colour", (fastmqtt_view){kWhat, sizeof kWhat - 1});
  return NULL;
}

static const char* const kOptions[] = {"colour", NULL};

extern FASTMQTT_EXPORT const fastmqtt_handler fastmqtt_handler_v1;
const fastmqtt_handler fastmqtt_handler_v1 = {.size = sizeof(fastmqtt_handler),
                                              .name = "create_fails",
                                              .version = "1.0",
                                              .options = kOptions,
                                              .create = create,
                                              .destroy = stub_destroy,
                                              .on_messages = stub_on_messages};

/* Never comes back from being loaded. */
#include <unistd.h>

#include "tests/handlers/stub.h"

static void __attribute__((constructor)) at_load(void) {
  for (;;) pause();
}

const fastmqtt_handler fastmqtt_handler_v1 = {.size = sizeof(fastmqtt_handler),
                                              .name = "constructor_hangs",
                                              .version = "1.0",
                                              .create = stub_create,
                                              .destroy = stub_destroy,
                                              .on_messages = stub_on_messages};

/* Crashes when it is loaded. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/handlers/stub.h"

static void __attribute__((constructor)) at_load(void) {
  fputs("no licence found\n", stderr);
  abort();
}

const fastmqtt_handler fastmqtt_handler_v1 = {.size = sizeof(fastmqtt_handler),
                                              .name = "constructor_crashes",
                                              .version = "1.0",
                                              .create = stub_create,
                                              .destroy = stub_destroy,
                                              .on_messages = stub_on_messages};

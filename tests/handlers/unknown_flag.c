/* Has an essential flag that is not known yet. */
#include "tests/handlers/stub.h"

const fastmqtt_handler fastmqtt_handler_v1 = {.size = sizeof(fastmqtt_handler),
                                              .flags = 0x20000u,
                                              .name = "unknown_flag",
                                              .version = "1.0",
                                              .create = stub_create,
                                              .destroy = stub_destroy,
                                              .on_messages = stub_on_messages};

/* One of two plugins with the same soname, which the build gives them. */
#include "tests/handlers/stub.h"

const fastmqtt_handler fastmqtt_handler_v1 = {.size = sizeof(fastmqtt_handler),
                                              .name = "soname_first",
                                              .version = "1.0",
                                              .create = stub_create,
                                              .destroy = stub_destroy,
                                              .on_messages = stub_on_messages};

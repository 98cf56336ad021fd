/* Claims a struct that ends before on_messages. */
#include "tests/handlers/stub.h"

extern FASTMQTT_EXPORT const fastmqtt_handler fastmqtt_handler_v1;
const fastmqtt_handler fastmqtt_handler_v1 = {.size = offsetof(fastmqtt_handler, on_messages),
                                              .name = "short_struct",
                                              .version = "1.0",
                                              .create = stub_create,
                                              .destroy = stub_destroy};

/* Lacks the symbol. */
#include "tests/handlers/stub.h"

extern FASTMQTT_EXPORT const fastmqtt_handler fastmqtt_handler_v2;
const fastmqtt_handler fastmqtt_handler_v2 = {.size = sizeof(fastmqtt_handler),
                                              .name = "no_symbol",
                                              .version = "1.0",
                                              .create = stub_create,
                                              .destroy = stub_destroy,
                                              .on_messages = stub_on_messages};

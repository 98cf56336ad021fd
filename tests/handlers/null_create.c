/* Has no create. */
#include "tests/handlers/stub.h"

extern FASTMQTT_EXPORT const fastmqtt_handler fastmqtt_handler_v1;
const fastmqtt_handler fastmqtt_handler_v1 = {.size = sizeof(fastmqtt_handler),
                                              .name = "null_create",
                                              .version = "1.0",
                                              .destroy = stub_destroy,
                                              .on_messages = stub_on_messages};

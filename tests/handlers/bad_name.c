/* Has a name that is none. */
#include "tests/handlers/stub.h"

extern FASTMQTT_EXPORT const fastmqtt_handler fastmqtt_handler_v1;
const fastmqtt_handler fastmqtt_handler_v1 = {.size = sizeof(fastmqtt_handler),
                                              .name = "Bad Name",
                                              .version = "1.0",
                                              .create = stub_create,
                                              .destroy = stub_destroy,
                                              .on_messages = stub_on_messages};

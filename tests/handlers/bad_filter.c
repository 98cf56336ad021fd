/* Declares a default topic filter that is none. */
#include "tests/handlers/stub.h"

static const char* const kTopics[] = {"good/#", "a/#/b", NULL};

extern FASTMQTT_EXPORT const fastmqtt_handler fastmqtt_handler_v1;
const fastmqtt_handler fastmqtt_handler_v1 = {.size = sizeof(fastmqtt_handler),
                                              .name = "bad_filter",
                                              .version = "1.0",
                                              .topics = kTopics,
                                              .create = stub_create,
                                              .destroy = stub_destroy,
                                              .on_messages = stub_on_messages};

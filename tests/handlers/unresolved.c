/* Calls a function that nobody has: must be found at load, not at the first message. */
#include "fastmqtt/handler.h"

void no_such_function(void);

static void* create(const fastmqtt_host* host) {
  (void)host;
  no_such_function();
  return NULL;
}

const fastmqtt_handler fastmqtt_handler_v1 = {
    .size = sizeof(fastmqtt_handler), .name = "unresolved", .version = "1", .create = create};

/* Built with a header to come: a larger struct, a flag that may be ignored, and an answer that
 * today's daemon does not know. */
#include "tests/handlers/stub.h"

typedef struct {
  fastmqtt_handler today;
  void (*on_reload)(void* self);
  uint64_t more[16];
} future_handler;

static void on_reload(void* self) { (void)self; }

static const char* const kTopics[] = {"future/#", NULL};

/* Under the name that the loader looks for, without the declaration of today's header. */
FASTMQTT_EXPORT extern const future_handler future __asm__("fastmqtt_handler_v1");
const future_handler future = {.today = {.size = sizeof(future_handler),
                                         .flags = 0x8000u,
                                         .name = "future_struct",
                                         .version = "1.0",
                                         .topics = kTopics,
                                         .create = stub_create,
                                         .destroy = stub_destroy,
                                         .on_messages = stub_on_messages},
                               .on_reload = on_reload};

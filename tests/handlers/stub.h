/* Functions of a handler that does nothing, for plugins that are bad in one way only. */
#ifndef FASTMQTT_TESTS_STUB_H
#define FASTMQTT_TESTS_STUB_H

#include "fastmqtt/handler.h"

static inline void* stub_create(const fastmqtt_host* host) { return (void*)host; }
static inline void stub_destroy(void* self) { (void)self; }
static inline void stub_on_messages(void* self, const fastmqtt_message* const* messages,
                                    size_t count, fastmqtt_result* results) {
  (void)self, (void)messages, (void)count, (void)results;
}

#endif

/* Does what no handler should: what its option `start`, the payload, or its option `stop` says. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fastmqtt/handler.h"

#ifndef ROGUE_NAME
#define ROGUE_NAME "rogue"
#define ROGUE_FLAGS 0
#endif

static const fastmqtt_host* the_host;

static int says(fastmqtt_view text, const char* word) {
  return text.size == strlen(word) && memcmp(text.data, word, text.size) == 0;
}

/* As a parser does that follows whatever nesting it is given. */
static int overflow(fastmqtt_view word) {
  volatile char frame[4096];
  frame[0] = word.data[0];
  return says(word, "overflow") ? overflow(word) + frame[0] : 0;
}

static void do_as_told(fastmqtt_view word) {
  if (says(word, "hang"))
    for (;;) pause();
  if (says(word, "abort")) abort();
  if (says(word, "overflow")) overflow(word);
  if (says(word, "exit")) exit(0);
}

static void* create(const fastmqtt_host* host) {
  the_host = host;
  do_as_told(host->config(host, "start"));
  return (void*)host;
}

static void destroy(void* self) {
  (void)self;
  do_as_told(the_host->config(the_host, "stop"));
}

/* As popen() and its like do. */
static void fork_one(void) {
  static const char kText[] = "its child has ended";
  int status = 0;
  const pid_t child = fork();
  if (child == 0) exit(127);
  if (child > 0) waitpid(child, &status, 0);
  the_host->log(the_host, FASTMQTT_INFO, (fastmqtt_view){kText, sizeof kText - 1});
}

static void on_messages(void* self, const fastmqtt_message* const* messages, size_t count,
                        fastmqtt_result* results) {
  (void)self;
  for (size_t i = 0; i < count; ++i) {
    do_as_told(messages[i]->payload);
    if (says(messages[i]->payload, "fork")) fork_one();
    if (says(messages[i]->payload, "77")) results[i] = messages[i]->attempt == 1 ? 77 : FASTMQTT_OK;
  }
}

static const char* const kTopics[] = {"rogue", NULL};
static const char* const kOptions[] = {"start", "stop", NULL};

const fastmqtt_handler fastmqtt_handler_v1 = {.size = sizeof(fastmqtt_handler),
                                              .flags = ROGUE_FLAGS,
                                              .name = ROGUE_NAME,
                                              .version = "1.0",
                                              .topics = kTopics,
                                              .options = kOptions,
                                              .create = create,
                                              .destroy = destroy,
                                              .on_messages = on_messages};

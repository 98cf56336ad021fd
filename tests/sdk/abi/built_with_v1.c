/* A handler in plain C, built with the header of the first release for ever: it uses every service
 * of the host, so that a daemon that moves one is found out. payload "use NUMBER"  logs, counts,
 * reads its options, publishes to v1/out, completes later anything else         is rejected */
#include <fastmqtt/handler.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  const fastmqtt_host* host;
  uint32_t used;
  uint64_t waiting[16];
  size_t waiting_count;
} instance;

static fastmqtt_view text(const char* from) {
  fastmqtt_view view = {from, strlen(from)};
  return view;
}

static int is(fastmqtt_view view, const char* word) {
  return view.size == strlen(word) && memcmp(view.data, word, view.size) == 0;
}

static void* create(const fastmqtt_host* host) {
  instance* self;
  size_t members = 0;
  if (host->size < sizeof *host) return NULL;
  if (host->config_kind(host, "", &members) == FASTMQTT_MAP &&
      (members != 2 || !is(host->config_name(host, "", 0), "word") ||
       !is(host->config(host, "word"), "told") ||
       host->config_kind(host, "list", &members) != FASTMQTT_LIST || members != 2 ||
       !is(host->config(host, "list.1"), "b"))) {
    host->config_error(host, "word", text("expected word: told, list: [a, b]"));
    return NULL;
  }
  self = calloc(1, sizeof *self);
  if (!self) return NULL;
  self->host = host;
  self->used = host->counter(host, "used");
  return self;
}

static void destroy(void* self) { free(self); }

static void use(instance* self, const fastmqtt_message* message) {
  const fastmqtt_host* host = self->host;
  fastmqtt_property properties[2];
  fastmqtt_message out;
  char line[128];
  memset(properties, 0, sizeof properties);
  properties[0].id = FASTMQTT_USER_PROPERTY;
  properties[0].name = text("from");
  properties[0].value = text(host->name);
  properties[1].id = FASTMQTT_MESSAGE_EXPIRY_INTERVAL;
  properties[1].number = 60;
  memset(&out, 0, sizeof out);
  out.size = sizeof out;
  out.qos = 1;
  out.topic = text("v1/out");
  out.payload = message->payload;
  out.properties = properties;
  out.property_count = 2;
  host->count(host, self->used, 1);
  snprintf(line, sizeof line, "attempt %u, %s", (unsigned)message->attempt,
           message->deadline_ns > host->now_ns(host) && message->received_ns > 0 &&
                   message->message_id != 0
               ? "in time"
               : "out of time");
  host->log_message(host, FASTMQTT_INFO, text(line), message);
  if (host->publish(host, &out) != FASTMQTT_OK)
    host->log(host, FASTMQTT_ERROR, text("cannot publish"));
}

static void on_messages(void* raw, const fastmqtt_message* const* messages, size_t count,
                        fastmqtt_result* results) {
  instance* self = raw;
  size_t i;
  for (i = 0; i < count; ++i) {
    if (messages[i]->payload.size < 3 || memcmp(messages[i]->payload.data, "use", 3) != 0) {
      results[i] = FASTMQTT_REJECT;
      continue;
    }
    use(self, messages[i]);
    if (self->waiting_count == 16) {
      results[i] = FASTMQTT_RETRY;
      continue;
    }
    self->waiting[self->waiting_count++] = messages[i]->id;
    results[i] = FASTMQTT_PENDING;
    self->host->wake_at(self->host, 0);
  }
}

static void on_wake(void* raw) {
  instance* self = raw;
  while (self->waiting_count > 0)
    self->host->complete(self->host, self->waiting[--self->waiting_count], FASTMQTT_OK);
}

static const char* const topics[] = {"v1/in", NULL};
static const char* const options[] = {"word", "list", NULL};

const fastmqtt_handler fastmqtt_handler_v1 = {sizeof(fastmqtt_handler),
                                              0,
                                              "built_with_v1",
                                              "1.0",
                                              topics,
                                              options,
                                              create,
                                              destroy,
                                              on_messages,
                                              on_wake};

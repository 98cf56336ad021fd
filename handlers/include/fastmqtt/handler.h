/* fastmqtt/handler.h - the whole contract between fastmqttd and a message handler.
 *
 * A handler is a shared object that exports one data symbol, `fastmqtt_handler_v1`.  This header is
 * C11, needs nothing but the C library, and is the ABI.  C++ authors include fastmqtt/handler.hpp.
 *
 * Growth   Every struct that may grow begins with its own size and only ever grows at its end.
 *          A field past `size` does not exist; see FASTMQTT_HAS.  A break would be a new symbol.
 * Threads  Calls into one instance never overlap, though the thread may change.
 *          [turn]  called, or to be called, in the instance's own turn: from create(),
 *                  on_messages(), on_wake() and destroy()
 *          [any]   may be called from any thread, from create() until destroy() returns
 * Memory   Who allocates, frees.  What a pointer leads to is borrowed until the call returns; a
 *          message answered FASTMQTT_PENDING stays readable until complete() is called for it,
 *          however late, or destroy() returns.  (Of a handler that never completes, the oldest ones
 *          are let go once as many are overdue as its queue may hold.)
 * Errors   No exception and no longjmp may leave a function named here.
 */
#ifndef FASTMQTT_HANDLER_H
#define FASTMQTT_HANDLER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Text (UTF-8) or bytes; not null-terminated.  {NULL, 0} where there is nothing. */
typedef struct fastmqtt_view {
  const char* data;
  size_t size;
} fastmqtt_view;

/* A field that a line has in the journal, beside its text.  The name: 1 to 64 of A-Z, 0-9 and _,
 * a letter first, and none that the journal or the daemon gives a meaning of its own (MESSAGE...,
 * PRIORITY, MQTT_..., SYSLOG_..., CODE_..., OBJECT_..., COREDUMP_...).  Never grows. */
typedef struct fastmqtt_field {
  fastmqtt_view name;
  fastmqtt_view value; /* any bytes */
} fastmqtt_field;

/* One MQTT 5 property, by its identifier in MQTT 5.0 section 2.2.2.2.  Never grows. */
typedef struct fastmqtt_property {
  uint32_t id;         /* 0x26 is a user property */
  uint32_t number;     /* value of the integer kinds */
  fastmqtt_view name;  /* of a user property */
  fastmqtt_view value; /* of the string and binary kinds */
} fastmqtt_property;

/* The properties that a PUBLISH may carry (MQTT 5.0 section 3.3.2.3).  All but the last stand there
 * once at most. */
enum {
  FASTMQTT_PAYLOAD_FORMAT_INDICATOR = 0x01, /* number: 0 bytes, 1 UTF-8 */
  FASTMQTT_MESSAGE_EXPIRY_INTERVAL = 0x02,  /* number: seconds */
  FASTMQTT_CONTENT_TYPE = 0x03,             /* value */
  FASTMQTT_RESPONSE_TOPIC = 0x08,           /* value: a topic name */
  FASTMQTT_CORRELATION_DATA = 0x09,         /* value: bytes */
  FASTMQTT_SUBSCRIPTION_IDENTIFIER = 0x0B,  /* number; not for publish() */
  FASTMQTT_TOPIC_ALIAS = 0x23,              /* number; not for publish() */
  FASTMQTT_USER_PROPERTY = 0x26             /* name and value, may repeat */
};

typedef struct fastmqtt_message {
  uint32_t size;    /* sizeof(fastmqtt_message) of whoever filled it */
  uint8_t qos;      /* 0, 1, 2 */
  uint8_t retain;   /* 1: kept by the broker, sent for a new subscription; with
                       retain_as_published: as its sender set it */
  uint8_t dup;      /* 1: it may have come, or been handed over, before */
  uint8_t reserved; /* 0 */
  fastmqtt_view topic;
  fastmqtt_view payload;
  const fastmqtt_property* properties; /* of MQTT 5, and the identifiers of the handler's own
                                          subscriptions, which the configuration gives */
  size_t property_count;
  /* What follows is filled by the daemon and ignored when publishing. */
  uint64_t id;         /* this delivery, in complete(); another one at each attempt, not used again
                          while the process lives */
  uint64_t message_id; /* this message, the same at each attempt and for every handler; another one
                          when the broker sends it again */
  uint32_t attempt;    /* 1 for the first time it is handed to this handler */
  uint32_t reserved2;  /* 0 */
  int64_t received_ns; /* when it arrived: CLOCK_REALTIME, nanoseconds */
  int64_t deadline_ns; /* answer by then, on the clock of now_ns(), or it counts as RETRY; 0: no
                          limit */
} fastmqtt_message;

typedef int32_t fastmqtt_result;
enum {
  FASTMQTT_OK = 0,     /* done with it */
  FASTMQTT_RETRY = 1,  /* not now: deliver it again after a pause, a bounded number of times */
  FASTMQTT_REJECT = 2, /* never: it is given up, a dead letter */
  FASTMQTT_PENDING = 3 /* the answer comes through complete() */
};

enum { FASTMQTT_DEBUG = 0, FASTMQTT_INFO = 1, FASTMQTT_WARNING = 2, FASTMQTT_ERROR = 3 };

/* What stands at a place in the options. */
enum { FASTMQTT_ABSENT = 0, FASTMQTT_SCALAR = 1, FASTMQTT_LIST = 2, FASTMQTT_MAP = 3 };

/* Whether a field may have that name, see fastmqtt_field. */
__attribute__((unused)) static inline int fastmqtt_is_field_name(fastmqtt_view name) {
  static const char* const taken[] = {"MESSAGE", "PRIORITY", "MQTT_",    "SYSLOG_",
                                      "CODE_",   "OBJECT_",  "COREDUMP_"};
  if (name.size < 1 || name.size > 64 || name.data[0] < 'A' || name.data[0] > 'Z') return 0;
  for (size_t i = 0; i < name.size; ++i) {
    const char c = name.data[i];
    if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')) return 0;
  }
  for (size_t i = 0; i < sizeof taken / sizeof taken[0]; ++i) {
    const size_t length = strlen(taken[i]);
    if (name.size >= length && memcmp(name.data, taken[i], length) == 0) return 0;
  }
  return 1;
}

/* What the daemon offers one instance.  Pass the pointer itself back as `host`.  Every function
 * down to `count` is there in every daemon; of later ones check FASTMQTT_HAS first. */
typedef struct fastmqtt_host fastmqtt_host;
struct fastmqtt_host {
  uint32_t size;
  int32_t log_level; /* lines below it are dropped: their text need not be made.  The daemon may
                        change it at any time: read it with __atomic_load_n */
  const char* name;  /* of the instance, as the configuration calls it; until destroy() returns */

  /* [any] Logs one line; the daemon adds the handler's name. */
  void (*log)(const fastmqtt_host* host, int32_t level, fastmqtt_view text);
  /* [any] The same about one message: the daemon puts its topic before the text, and its topic,
   * QoS and attempt into journal fields.  `about` may be NULL. */
  void (*log_message)(const fastmqtt_host* host, int32_t level, fastmqtt_view text,
                      const fastmqtt_message* about);
  /* [any] Publishes `message`: its topic, payload, qos, retain and properties, which are copied;
   * never waits for the broker.  OK: it is on its way, and sent again after a lost connection; of
   * QoS 1 and 2 until the broker has acknowledged it, whatever becomes of the daemon: what is
   * published during a call of on_messages() is written to disk together with the answers of that
   * call, and sent then; everything else is on disk when this returns.  RETRY: too many of this
   * handler's are on their way (as many as its queue may hold), the disk takes nothing, or it is
   * too late, from destroy().  REJECT: it is malformed, and the reason has been logged.  Properties
   * go out with MQTT 5 only. */
  fastmqtt_result (*publish)(const fastmqtt_host* host, const fastmqtt_message* message);
  /* [any] Answers a PENDING delivery, once, with OK, RETRY or REJECT.  Late and double answers are
   * ignored. */
  void (*complete)(const fastmqtt_host* host, uint64_t id, fastmqtt_result result);
  /* [any] CLOCK_MONOTONIC in nanoseconds; a test's host may move it as it likes. */
  int64_t (*now_ns)(const fastmqtt_host* host);
  /* [any] Asks for on_wake() at `when_ns` of now_ns(), 0 for as soon as possible, INT64_MAX for
   * never.  One alarm: the latest request counts. */
  void (*wake_at)(const fastmqtt_host* host, int64_t when_ns);
  /* [turn] The value at "a.b" in this handler's options, "" for all of them: a scalar as its text,
   * anything else as YAML; {NULL, 0} when it is absent.  Valid until destroy() returns. */
  fastmqtt_view (*config)(const fastmqtt_host* host, const char* path);
  /* [turn] What stands there: FASTMQTT_ABSENT (or null), SCALAR, LIST or MAP, and in `members`,
   * unless that is NULL, how many members a list or map has, else 0. */
  int32_t (*config_kind)(const fastmqtt_host* host, const char* path, size_t* members);
  /* [turn] The name of a member: the key in a map, "0", "1" ... in a list; its path is "path.name".
   * {NULL, 0} past the last one.  Valid until destroy() returns. */
  fastmqtt_view (*config_name)(const fastmqtt_host* host, const char* path, size_t member);
  /* [turn] In create(): says what is wrong with the option at `path` and what is expected.  The
   * daemon adds file and line.  create() then returns NULL. */
  void (*config_error)(const fastmqtt_host* host, const char* path, fastmqtt_view what);
  /* [turn] Names a counter, 1 to 64 of [a-z0-9_], once; the same name gives the same counter ... */
  uint32_t (*counter)(const fastmqtt_host* host, const char* name);
  /* [any] ... and adds to it often. */
  void (*count)(const fastmqtt_host* host, uint32_t counter, uint64_t by);

  /* [any] log_message() with fields of the handler's own.  Those with other names than a field may
   * have are left out. */
  void (*log_fields)(const fastmqtt_host* host, int32_t level, fastmqtt_view text,
                     const fastmqtt_message* about, const fastmqtt_field* fields, size_t count);
  /* [turn] In create(): names a file, before it is read there.  A reload makes the handler anew, as
   * when its options have changed, when anything else is in that file by then. */
  void (*uses_file)(const fastmqtt_host* host, const char* path);
};

/* What a handler exports. */
typedef struct fastmqtt_handler {
  uint32_t size;    /* sizeof(fastmqtt_handler) that it was built with */
  uint32_t flags;   /* FASTMQTT_SHARDABLE, FASTMQTT_BATCHES; see FASTMQTT_ESSENTIAL */
  const char* name; /* 1 to 64 of [a-z0-9_-], unique among the plugins */
  const char* version;
  const char* const* topics;  /* default topic filters, null-terminated; may be NULL */
  const char* const* options; /* names of its options, null-terminated: the daemon refuses others;
                                 NULL: not known, refuse none */

  /* [turn] The instance, or NULL after saying why through config_error() or log().  At a reload
   * that changes the handler the instance before still runs then, in a thread of its own. */
  void* (*create)(const fastmqtt_host* host);
  /* [turn] No call follows.  Deliveries still PENDING count as not done. */
  void (*destroy)(void* self);
  /* [turn] `count` >= 1 messages in order of arrival.  results[] comes filled with OK: what is not
   * done with needs another answer. */
  void (*on_messages)(void* self, const fastmqtt_message* const* messages, size_t count,
                      fastmqtt_result* results);
  /* [turn] The alarm asked for with wake_at().  May be NULL. */
  void (*on_wake)(void* self);
} fastmqtt_handler;

/* The daemon may run several instances in threads of their own, each with its share of the topics:
 * what they share in static variables is theirs to guard. */
#define FASTMQTT_SHARDABLE 1u
/* on_messages() wants all that is waiting, up to 256 at once; without it, one message a call.
 * A batch may hold several messages of one topic: to keep their order, answer RETRY for the later
 * ones too when an earlier one gets RETRY. */
#define FASTMQTT_BATCHES 2u
/* Flags to come: a daemon that does not know one ignores it, but refuses a plugin with one of these
 * bits that it does not know. */
#define FASTMQTT_ESSENTIAL 0xFFFF0000u

#define FASTMQTT_MAX_BATCH 256u

/* Whether a sized struct, perhaps filled by an older header, has a field. */
#define FASTMQTT_HAS(type, pointer, field) \
  ((pointer)->size >= offsetof(type, field) + sizeof((pointer)->field))

#define FASTMQTT_SYMBOL_V1 "fastmqtt_handler_v1"
#define FASTMQTT_EXPORT __attribute__((visibility("default")))

/* The one symbol.  Define it in C as
 *   const fastmqtt_handler fastmqtt_handler_v1 = {.size = sizeof(fastmqtt_handler), ...};
 */
extern FASTMQTT_EXPORT const fastmqtt_handler fastmqtt_handler_v1;

#ifdef __cplusplus
}
#endif
#endif /* FASTMQTT_HANDLER_H */

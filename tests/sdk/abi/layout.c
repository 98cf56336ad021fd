/* Where every field of today's header lies, on the machines that count pointers in 64 bits.  A
 * number here never changes; new fields come at the end of a struct and of its list. */
#include <stddef.h>

#include "fastmqtt/handler.h"

#if __SIZEOF_POINTER__ == 8

#define AT(type, field, offset) \
  _Static_assert(offsetof(type, field) == (offset), #type "." #field " has moved")
#define FIELD_SIZE(type, field, bytes) \
  _Static_assert(sizeof(((type*)0)->field) == (bytes), #type "." #field " has another size")

AT(fastmqtt_view, data, 0);
AT(fastmqtt_view, size, 8);
_Static_assert(sizeof(fastmqtt_view) == 16, "fastmqtt_view never grows");

AT(fastmqtt_property, id, 0);
AT(fastmqtt_property, number, 4);
AT(fastmqtt_property, name, 8);
AT(fastmqtt_property, value, 24);
_Static_assert(sizeof(fastmqtt_property) == 40, "fastmqtt_property never grows");

AT(fastmqtt_message, size, 0);
AT(fastmqtt_message, qos, 4);
AT(fastmqtt_message, retain, 5);
AT(fastmqtt_message, dup, 6);
AT(fastmqtt_message, reserved, 7);
AT(fastmqtt_message, topic, 8);
AT(fastmqtt_message, payload, 24);
AT(fastmqtt_message, properties, 40);
AT(fastmqtt_message, property_count, 48);
AT(fastmqtt_message, id, 56);
AT(fastmqtt_message, message_id, 64);
AT(fastmqtt_message, attempt, 72);
AT(fastmqtt_message, reserved2, 76);
AT(fastmqtt_message, received_ns, 80);
AT(fastmqtt_message, deadline_ns, 88);
_Static_assert(sizeof(fastmqtt_message) >= 96, "fastmqtt_message has shrunk");

AT(fastmqtt_host, size, 0);
AT(fastmqtt_host, log_level, 4);
AT(fastmqtt_host, name, 8);
AT(fastmqtt_host, log, 16);
AT(fastmqtt_host, log_message, 24);
AT(fastmqtt_host, publish, 32);
AT(fastmqtt_host, complete, 40);
AT(fastmqtt_host, now_ns, 48);
AT(fastmqtt_host, wake_at, 56);
AT(fastmqtt_host, config, 64);
AT(fastmqtt_host, config_kind, 72);
AT(fastmqtt_host, config_name, 80);
AT(fastmqtt_host, config_error, 88);
AT(fastmqtt_host, counter, 96);
AT(fastmqtt_host, count, 104);
AT(fastmqtt_host, log_fields, 112);
AT(fastmqtt_host, uses_file, 120);
_Static_assert(sizeof(fastmqtt_host) >= 128, "fastmqtt_host has shrunk");

AT(fastmqtt_handler, size, 0);
AT(fastmqtt_handler, flags, 4);
AT(fastmqtt_handler, name, 8);
AT(fastmqtt_handler, version, 16);
AT(fastmqtt_handler, topics, 24);
AT(fastmqtt_handler, options, 32);
AT(fastmqtt_handler, create, 40);
AT(fastmqtt_handler, destroy, 48);
AT(fastmqtt_handler, on_messages, 56);
AT(fastmqtt_handler, on_wake, 64);
_Static_assert(sizeof(fastmqtt_handler) >= 72, "fastmqtt_handler has shrunk");

FIELD_SIZE(fastmqtt_message, size, 4);
FIELD_SIZE(fastmqtt_message, qos, 1);
FIELD_SIZE(fastmqtt_message, attempt, 4);
FIELD_SIZE(fastmqtt_host, size, 4);
FIELD_SIZE(fastmqtt_host, log_level, 4);
FIELD_SIZE(fastmqtt_handler, size, 4);
FIELD_SIZE(fastmqtt_handler, flags, 4);
FIELD_SIZE(fastmqtt_property, id, 4);
_Static_assert(sizeof(fastmqtt_result) == 4, "fastmqtt_result has another size");

#endif

/* The values, too, are compiled into plugins. */
_Static_assert(FASTMQTT_OK == 0 && FASTMQTT_RETRY == 1 && FASTMQTT_REJECT == 2, "results");
_Static_assert(FASTMQTT_PENDING == 3, "results");
_Static_assert(FASTMQTT_DEBUG == 0 && FASTMQTT_INFO == 1 && FASTMQTT_WARNING == 2, "levels");
_Static_assert(FASTMQTT_ERROR == 3, "levels");
_Static_assert(FASTMQTT_ABSENT == 0 && FASTMQTT_SCALAR == 1 && FASTMQTT_LIST == 2, "kinds");
_Static_assert(FASTMQTT_MAP == 3, "kinds");
_Static_assert(FASTMQTT_SHARDABLE == 1u && FASTMQTT_BATCHES == 2u, "flags");
_Static_assert(FASTMQTT_ESSENTIAL == 0xFFFF0000u && FASTMQTT_MAX_BATCH == 256u, "flags");

/* Here for the linker. */
extern const int fastmqtt_layout_holds;
const int fastmqtt_layout_holds = 1;

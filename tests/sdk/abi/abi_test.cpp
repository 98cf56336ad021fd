// Today's header beside the one of the first release: what was there then is where it was.
#include <gtest/gtest.h>
#include <stddef.h>
#include <stdint.h>

#include <cstring>
#include <string>

// First, or its struct names would find those of today.
#define fastmqtt_handler_v1 fastmqtt_handler_v1_of_the_first_release
namespace first {
#include "v1/fastmqtt/handler.h"
}
#undef fastmqtt_handler_v1
#undef FASTMQTT_HANDLER_H
#undef FASTMQTT_HAS
#undef FASTMQTT_EXPORT

#include "fastmqtt/handler.h"

extern "C" const int fastmqtt_layout_holds;

namespace {

#define EXPECT_SAME(type, field)                                              \
  EXPECT_EQ(offsetof(::type, field), offsetof(first::type, field)) << #field; \
  EXPECT_EQ(sizeof(::type::field), sizeof(first::type::field)) << #field

TEST(Abi, MessageIsWhereItWas) {
  EXPECT_TRUE(fastmqtt_layout_holds);
  EXPECT_SAME(fastmqtt_message, size);
  EXPECT_SAME(fastmqtt_message, qos);
  EXPECT_SAME(fastmqtt_message, retain);
  EXPECT_SAME(fastmqtt_message, dup);
  EXPECT_SAME(fastmqtt_message, topic);
  EXPECT_SAME(fastmqtt_message, payload);
  EXPECT_SAME(fastmqtt_message, properties);
  EXPECT_SAME(fastmqtt_message, property_count);
  EXPECT_SAME(fastmqtt_message, id);
  EXPECT_SAME(fastmqtt_message, message_id);
  EXPECT_SAME(fastmqtt_message, attempt);
  EXPECT_SAME(fastmqtt_message, received_ns);
  EXPECT_SAME(fastmqtt_message, deadline_ns);
  EXPECT_GE(sizeof(::fastmqtt_message), sizeof(first::fastmqtt_message));
}

TEST(Abi, HostIsWhereItWas) {
  EXPECT_SAME(fastmqtt_host, size);
  EXPECT_SAME(fastmqtt_host, log_level);
  EXPECT_SAME(fastmqtt_host, name);
  EXPECT_SAME(fastmqtt_host, log);
  EXPECT_SAME(fastmqtt_host, log_message);
  EXPECT_SAME(fastmqtt_host, publish);
  EXPECT_SAME(fastmqtt_host, complete);
  EXPECT_SAME(fastmqtt_host, now_ns);
  EXPECT_SAME(fastmqtt_host, wake_at);
  EXPECT_SAME(fastmqtt_host, config);
  EXPECT_SAME(fastmqtt_host, config_kind);
  EXPECT_SAME(fastmqtt_host, config_name);
  EXPECT_SAME(fastmqtt_host, config_error);
  EXPECT_SAME(fastmqtt_host, counter);
  EXPECT_SAME(fastmqtt_host, count);
  EXPECT_GE(sizeof(::fastmqtt_host), sizeof(first::fastmqtt_host));
}

TEST(Abi, HandlerIsWhereItWas) {
  EXPECT_SAME(fastmqtt_handler, size);
  EXPECT_SAME(fastmqtt_handler, flags);
  EXPECT_SAME(fastmqtt_handler, name);
  EXPECT_SAME(fastmqtt_handler, version);
  EXPECT_SAME(fastmqtt_handler, topics);
  EXPECT_SAME(fastmqtt_handler, options);
  EXPECT_SAME(fastmqtt_handler, create);
  EXPECT_SAME(fastmqtt_handler, destroy);
  EXPECT_SAME(fastmqtt_handler, on_messages);
  EXPECT_SAME(fastmqtt_handler, on_wake);
  EXPECT_GE(sizeof(::fastmqtt_handler), sizeof(first::fastmqtt_handler));
}

TEST(Abi, ViewsAndPropertiesNeverGrow) {
  EXPECT_EQ(sizeof(::fastmqtt_view), sizeof(first::fastmqtt_view));
  EXPECT_EQ(sizeof(::fastmqtt_property), sizeof(first::fastmqtt_property));
  EXPECT_SAME(fastmqtt_property, id);
  EXPECT_SAME(fastmqtt_property, number);
  EXPECT_SAME(fastmqtt_property, name);
  EXPECT_SAME(fastmqtt_property, value);
}

TEST(Abi, ValuesAreWhatTheyWere) {
  EXPECT_EQ(+::FASTMQTT_OK, +first::FASTMQTT_OK);
  EXPECT_EQ(+::FASTMQTT_RETRY, +first::FASTMQTT_RETRY);
  EXPECT_EQ(+::FASTMQTT_REJECT, +first::FASTMQTT_REJECT);
  EXPECT_EQ(+::FASTMQTT_PENDING, +first::FASTMQTT_PENDING);
  EXPECT_EQ(+::FASTMQTT_ERROR, +first::FASTMQTT_ERROR);
  EXPECT_EQ(+::FASTMQTT_MAP, +first::FASTMQTT_MAP);
  EXPECT_EQ(+::FASTMQTT_USER_PROPERTY, +first::FASTMQTT_USER_PROPERTY);
  EXPECT_EQ(std::string(FASTMQTT_SYMBOL_V1), "fastmqtt_handler_v1");
}

TEST(Abi, AFieldPastTheSizeDoesNotExist) {
  ::fastmqtt_message message{};
  message.size = offsetof(::fastmqtt_message, attempt);
  EXPECT_TRUE(FASTMQTT_HAS(::fastmqtt_message, &message, message_id));
  EXPECT_FALSE(FASTMQTT_HAS(::fastmqtt_message, &message, attempt));
}

}  // namespace

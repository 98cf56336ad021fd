// republish - publishes each message anew, with topic and payload by template: to the same broker,
// through the daemon, or to another one, over a connection of its own.
//
// What it makes carries a count of how often that was done, as a user property: where MQTT 5 is
// spoken all the way, no message goes round in a circle.
#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fastmqtt/handler.hpp"
#include "handlers/common/missing.hpp"
#include "handlers/common/template.hpp"
#include "handlers/republish/broker_options.hpp"
#include "handlers/republish/other_broker.hpp"
#include "handlers/republish/publication.hpp"
#include "handlers/republish/topic.hpp"

namespace {

using fastmqtt::Level;
using fastmqtt::Message;
using fastmqtt::OptionError;
using fastmqtt::Result;
using fastmqtt::common::Source;
using fastmqtt::common::Template;
using fastmqtt::republish::is_given;
using fastmqtt::republish::OtherBroker;
using fastmqtt::republish::Publication;
using std::chrono::seconds;

// Counted by themselves: what was renamed at its broker is still to cross to another one.
constexpr const char* kHops = "fastmqttd-hops";        // at the same broker
constexpr const char* kBridges = "fastmqttd-bridges";  // from one to another
constexpr unsigned kMostHops = 255;

using Words = std::pair<const char*, std::uint32_t>;
constexpr Words kProperties[] = {{"content_type", FASTMQTT_CONTENT_TYPE},
                                 {"payload_format", FASTMQTT_PAYLOAD_FORMAT_INDICATOR},
                                 {"user", FASTMQTT_USER_PROPERTY},
                                 {"response_topic", FASTMQTT_RESPONSE_TOPIC},
                                 {"correlation_data", FASTMQTT_CORRELATION_DATA},
                                 {"expiry", FASTMQTT_MESSAGE_EXPIRY_INTERVAL}};

// Which properties are carried over.  Those that tell what the payload is go with the payload.
std::set<std::uint32_t> read_properties(const fastmqtt::Host& host, bool new_payload) {
  std::set<std::uint32_t> all, carried;
  for (const auto& [word, id] : kProperties) all.insert(id);
  if (!is_given(host, "properties")) {
    if (new_payload) all.erase(FASTMQTT_CONTENT_TYPE);
    if (new_payload) all.erase(FASTMQTT_PAYLOAD_FORMAT_INDICATOR);
    return all;
  }
  const std::vector<std::string> words = host.list("properties");
  if (words == std::vector<std::string>{"none"}) return carried;
  if (words == std::vector<std::string>{"all"}) return all;
  for (const std::string& given : words) {
    const auto known = std::ranges::find(kProperties, given, &Words::first);
    if (known == std::end(kProperties))
      throw OptionError("properties",
                        "expected all, none, or a list of content_type, payload_format, user, "
                        "response_topic, correlation_data, expiry");
    carried.insert(known->second);
  }
  return carried;
}

// What is left of an expiry interval; nothing when it is over.
std::optional<seconds> time_left(seconds interval, std::chrono::system_clock::duration waited) {
  const seconds passed = std::chrono::floor<seconds>(waited);
  if (passed.count() <= 0) return interval;  // also when the clock was set back
  return passed < interval ? std::optional(interval - passed) : std::nullopt;
}

// A count that nobody can read is one too many.
unsigned hops_of(const Message& message, const char* property) {
  const auto text = message.user_property(property);
  if (!text) return 0;
  return fastmqtt::detail::OptionType<unsigned>::read(*text).value_or(kMostHops);
}

class Republish {
 public:
  static constexpr const char* options[] = {"topic",      "payload",  "qos",    "retain",
                                            "properties", "max_hops", "broker", "missing"};

  explicit Republish(fastmqtt::Host host)
      : host_(host),
        elsewhere_(is_given(host, "broker")),
        topic_text_(elsewhere_ ? host.option("topic", "{topic}")
                               : host.required<std::string>("topic")),
        topic_(fastmqtt::common::template_option(host, "topic", "{topic}")),
        retain_(
            host.option("retain", Retain::no,
                        {{"false", Retain::no}, {"true", Retain::yes}, {"keep", Retain::keep}})),
        max_hops_(host.option<unsigned>("max_hops", elsewhere_ ? 1 : 4, 1, kMostHops)),
        came_back_(host.counter("came_back")),
        missing_(host) {
    check_topic();
    if (is_given(host, "payload"))
      payload_.emplace(fastmqtt::common::template_option(host, "payload", nullptr));
    if (is_given(host, "qos")) qos_ = host.option("qos", 0, 0, 2);
    carried_ = read_properties(host, payload_.has_value());
    if (!elsewhere_) return;
    fastmqtt::republish::BrokerOptions broker = fastmqtt::republish::read_broker_options(host);
    if (!broker.mqtt5)
      for (const char* option : {"properties", "max_hops"})
        if (is_given(host, option))
          throw OptionError(option,
                            "has no effect with broker.version 3.1.1: it has no properties");
    broker_ = std::make_unique<OtherBroker>(host, std::move(broker));
    // Not here: `fastmqttd --check` comes this far too, and must not connect.
    host_.wake();
  }

  void on_wake() {
    if (broker_) broker_->start();
  }

  Result on_message(const Message& message) {
    if (const auto answer = check_hops(message)) return *answer;
    Source source(message, host_.name());
    Publication publication;
    if (const std::string why = fill(message, source, publication); !why.empty()) {
      if (missing_.skips(source)) return Result::ok;
      host_.log(Level::error, why, message);
      return Result::reject;
    }
    if (broker_) {
      broker_->start();
      return broker_->send(message, std::move(publication));
    }
    return host_.publish(publication.topic, publication.payload,
                         {.qos = publication.qos,
                          .retain = publication.retain,
                          .properties = std::move(publication.properties)});
  }

 private:
  enum class Retain { no, yes, keep };

  void check_topic() const {
    const std::string constant = fastmqtt::republish::constant_parts(topic_text_);
    // "x" stands for a part that is there, whatever it will be.
    const std::string why =
        fastmqtt::republish::topic_error(topic_.is_constant() ? constant : constant + "x");
    if (!why.empty()) throw OptionError("topic", "'" + topic_text_ + "' " + why);
    if (!elsewhere_ && topic_text_ == "{topic}")
      throw OptionError("topic",
                        "each message would come back without end: expected another topic than "
                        "its own, or another broker");
  }

  // Nothing: it goes on.
  std::optional<Result> check_hops(const Message& message) {
    if (hops_of(message, hops_name()) < max_hops_) return std::nullopt;
    const std::string limit = ", max_hops is " + std::to_string(max_hops_);
    if (!elsewhere_) {
      host_.log(Level::error,
                "was republished too often" + limit +
                    ": do the topics that are made match the handler's own filters?",
                message);
      return Result::reject;
    }
    // Nothing is wrong where two daemons bridge to each other.
    came_back_.add();
    if (!std::exchange(came_back_logged_, true))
      host_.log(Level::warning,
                "has come over a bridge already: this one and others like it are left out" + limit,
                message);
    return Result::ok;
  }

  // Why there is nothing to publish; empty when there is.
  std::string fill(const Message& message, Source& source, Publication& publication) const {
    auto topic = topic_.fill(source);
    if (!topic) return source.missing() + ": no topic can be made";
    if (const std::string why = topic_error_of(*topic, message); !why.empty())
      return "the topic that is made " + why;
    publication.topic = std::move(*topic);
    if (payload_) {
      auto payload = payload_->fill(source);
      if (!payload) return source.missing() + ": no payload can be made";
      publication.payload = std::move(*payload);
    } else {
      publication.payload = message.payload();
    }
    publication.qos = qos_.value_or(message.qos());
    publication.retain = retain_ == Retain::keep ? message.retained() : retain_ == Retain::yes;
    return carry_over(message, publication.properties);
  }

  std::string topic_error_of(const std::string& topic, const Message& message) const {
    if (const std::string why = fastmqtt::republish::topic_error(topic); !why.empty()) return why;
    if (topic.front() == '$' && topic_text_.front() != '$')
      return "begins with '$', which the option topic does not";
    if (!elsewhere_ && topic == message.topic()) return "is the one that it came from";
    return {};
  }

  std::string carry_over(const Message& message, fastmqtt::Properties& properties) const {
    for (const fastmqtt_property& p : message.properties()) {
      if (!carried_.contains(p.id)) continue;
      if (p.id == FASTMQTT_USER_PROPERTY && fastmqtt::to_string_view(p.name) == hops_name())
        continue;
      if (p.id != FASTMQTT_MESSAGE_EXPIRY_INTERVAL) {
        properties.add(p);
        continue;
      }
      const auto left =
          time_left(seconds(p.number), std::chrono::system_clock::now() - message.received());
      if (!left) return "its expiry interval has passed while it waited here";
      properties.expires_in(*left);
    }
    properties.user(hops_name(), std::to_string(hops_of(message, hops_name()) + 1));
    return {};
  }

  const char* hops_name() const { return elsewhere_ ? kBridges : kHops; }

  const fastmqtt::Host host_;
  const bool elsewhere_;  // at another broker
  const std::string topic_text_;
  const Template topic_;
  const Retain retain_;
  const unsigned max_hops_;
  const fastmqtt::Counter came_back_;
  const fastmqtt::common::Missing missing_;
  bool came_back_logged_ = false;
  std::optional<Template> payload_;  // nothing: as it came
  std::optional<int> qos_;           // nothing: that of the message
  std::set<std::uint32_t> carried_;
  std::unique_ptr<OtherBroker> broker_;  // last: its thread ends first
};

}  // namespace

FASTMQTT_HANDLER(Republish, "republish", "1.0", FASTMQTT_SHARDABLE);

#include "daemon/operate/metrics.hpp"

#include <prometheus/text_serializer.h>

#include <map>
#include <sstream>
#include <utility>

#include "daemon/base/build_info.hpp"

namespace fastmqttd {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

// Fills the families, each with its metrics in a row.
class Sheet {
 public:
  void begin(const std::string& name, MetricType type, const std::string& help) {
    families_.push_back({name, help, type, {}});
  }
  template <class Number>
  void add(Number value, Labels labels = {}) {
    ClientMetric& metric = families_.back().metric.emplace_back();
    metric.label = std::move(labels);
    const auto number = static_cast<double>(value);
    if (families_.back().type == MetricType::Counter)
      metric.counter.value = number;
    else
      metric.gauge.value = number;
  }
  void add(const prometheus::Histogram& histogram, Labels labels) {
    ClientMetric metric = histogram.Collect();
    metric.label = std::move(labels);
    families_.back().metric.push_back(std::move(metric));
  }
  std::vector<MetricFamily> take() { return std::move(families_); }

 private:
  std::vector<MetricFamily> families_;
};

Labels of(const Lane& lane) { return {{"handler", lane.name()}}; }
Labels of(const Lane& lane, const char* name, const char* value) {
  return {{"handler", lane.name()}, {name, value}};
}

void add_session(Sheet& sheet, const SessionState& session) {
  sheet.begin("fastmqttd_connected", MetricType::Gauge, "Whether the broker is connected.");
  sheet.add(session.phase == SessionState::Phase::connected ? 1 : 0);
  sheet.begin("fastmqttd_connects_total", MetricType::Counter, "Connections made.");
  sheet.add(session.connects);
  sheet.begin("fastmqttd_subscriptions_refused", MetricType::Gauge,
              "Filters that the broker would not subscribe.");
  sheet.add(session.refused.size());
}

void add_received(Sheet& sheet, const Dispatcher::Received& received) {
  sheet.begin("fastmqttd_messages_received_total", MetricType::Counter,
              "Messages taken from the broker.");
  for (std::size_t qos = 0; qos < received.messages.size(); ++qos)
    sheet.add(received.messages[qos], {{"qos", std::to_string(qos)}});
  sheet.begin("fastmqttd_bytes_received_total", MetricType::Counter,
              "Bytes of their topics and payloads.");
  sheet.add(received.bytes);
  sheet.begin("fastmqttd_unrouted_messages_total", MetricType::Counter,
              "Messages that no handler wanted.");
  sheet.add(received.unrouted);
}

void add_deliveries(Sheet& sheet, const Lanes& lanes) {
  sheet.begin("fastmqttd_deliveries_total", MetricType::Counter,
              "Answers of handlers; dead: given up, whatever the answer.");
  for (const LanePtr& lane : lanes) {
    const Lane::Counts counts = lane->counts();
    sheet.add(counts.ok, of(*lane, "result", "ok"));
    sheet.add(counts.retry, of(*lane, "result", "retry"));
    sheet.add(counts.reject, of(*lane, "result", "reject"));
    sheet.add(counts.dead, of(*lane, "result", "dead"));
  }
  sheet.begin("fastmqttd_delivery_seconds", MetricType::Histogram,
              "How long the handler had a message in its hands.");
  for (const LanePtr& lane : lanes) sheet.add(lane->stats()->handling, of(*lane));
  sheet.begin("fastmqttd_delivery_wait_seconds", MetricType::Histogram,
              "How long a message waited from its arrival to its first attempt.");
  for (const LanePtr& lane : lanes) sheet.add(lane->stats()->waiting, of(*lane));
  sheet.begin("fastmqttd_dropped_messages_total", MetricType::Counter,
              "Messages that were never given to the handler.");
  for (const LanePtr& lane : lanes) {
    const HandlerStats& stats = *lane->stats();
    sheet.add(stats.dropped.load(), of(*lane, "reason", "queue_full"));
    sheet.add(stats.not_stored.load(), of(*lane, "reason", "not_stored"));
    sheet.add(stats.expired.load(), of(*lane, "reason", "expired"));
  }
}

void add_waiting(Sheet& sheet, const Lanes& lanes, Spool& spool) {
  sheet.begin("fastmqttd_queue_messages", MetricType::Gauge,
              "Messages that wait for the handler, in memory or in the spool.");
  for (const LanePtr& lane : lanes) sheet.add(lane->waiting(), of(*lane));
  sheet.begin("fastmqttd_spool_messages", MetricType::Gauge,
              "Deliveries that wait in the spool, of handlers that are not configured too.");
  sheet.add(spool.waiting());
  sheet.begin("fastmqttd_spool_bytes", MetricType::Gauge, "What the spool takes up.");
  const Spool::Use use = spool.use();
  sheet.add(use.bytes);
  sheet.begin("fastmqttd_spool_max_bytes", MetricType::Gauge, "What it may take up.");
  sheet.add(use.max_bytes);
  sheet.begin("fastmqttd_dead_letters", MetricType::Gauge, "Messages that were given up.");
  for (const LanePtr& lane : lanes) sheet.add(lane->dead_letters(), of(*lane));
  sheet.begin("fastmqttd_handler_suspended", MetricType::Gauge,
              "Whether it failed again and again, and only one message is tried at each pause.");
  for (const LanePtr& lane : lanes) sheet.add(lane->suspended() ? 1 : 0, of(*lane));
  sheet.begin("fastmqttd_handler_paused", MetricType::Gauge, "Whether it was told to wait.");
  for (const LanePtr& lane : lanes) sheet.add(lane->paused() ? 1 : 0, of(*lane));
  sheet.begin("fastmqttd_handler_stuck", MetricType::Gauge,
              "Whether a call has not returned for longer than its timeout.");
  for (const LanePtr& lane : lanes) sheet.add(lane->stuck(Clock::now()) ? 1 : 0, of(*lane));
  sheet.begin("fastmqttd_published_messages_total", MetricType::Counter,
              "Messages of the handler that the broker has.");
  for (const LanePtr& lane : lanes) sheet.add(lane->publish_counts().published, of(*lane));
}

// A family for each name, whichever handlers have it.
void add_own(Sheet& sheet, const Lanes& lanes) {
  std::map<std::string, std::vector<std::pair<const Lane*, std::uint64_t>>> by_name;
  for (const LanePtr& lane : lanes)
    for (const auto& [name, value] : lane->stats()->own.values())
      by_name[name].emplace_back(lane.get(), value);
  for (const auto& [name, values] : by_name) {
    sheet.begin("fastmqttd_handler_" + name + "_total", MetricType::Counter,
                "Counted by the handler itself.");
    for (const auto& [lane, value] : values) sheet.add(value, of(*lane));
  }
}

}  // namespace

std::vector<MetricFamily> Metrics::Collect() const {
  const Lanes lanes = dispatcher_.lanes();
  Sheet sheet;
  sheet.begin("fastmqttd_build_info", MetricType::Gauge, "Which version runs.");
  sheet.add(1, {{"version", build::kVersion}});
  add_session(sheet, session_.state());
  add_received(sheet, dispatcher_.received());
  add_deliveries(sheet, lanes);
  add_waiting(sheet, lanes, spool_);
  add_own(sheet, lanes);
  sheet.begin("fastmqttd_reloads_total", MetricType::Counter, "Reloads of the configuration.");
  sheet.add(reloads_.applied.load(), {{"result", "applied"}});
  sheet.add(reloads_.refused.load(), {{"result", "refused"}});
  return sheet.take();
}

std::string Metrics::text() const {
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, Collect());
  return out.str();
}

}  // namespace fastmqttd

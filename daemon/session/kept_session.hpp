// What is subscribed on the sessions that brokers keep for us, remembered across runs in the state
// directory, so that a filter which the configuration has no longer can be unsubscribed.
//
// A small JSON file, session.json, replaced as a whole.  The session's owner only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace fastmqttd {

class KeptSession {
 public:
  // While a QoS is not known, or the broker refused it.
  static constexpr int kUnknown = 128;
  struct Subscription {
    int qos = kUnknown;            // that was granted
    std::uint32_t identifier = 0;  // that it was made with
    std::uint64_t since = 0;       // grows with each that is made
    bool operator==(const Subscription&) const = default;
  };
  // By filter, as it was sent.
  using Filters = std::map<std::string, Subscription>;

  // Reads what an earlier run with that client identifier left.  What cannot be read is as good as
  // nothing, with a warning.  Without `keep` the brokers keep nothing, and nothing is written.
  KeptSession(const std::filesystem::path& directory, std::string client_id, bool keep);

  // From now on it is about the session at this broker.
  void at(const std::string& broker) { broker_ = broker; }
  // Whether there was one.
  bool known() const { return sessions_.contains(broker_); }
  // The filters that it may have.  At a broker that is not known it may be one that another shares
  // with it: those of all brokers.
  Filters filters() const;
  // Written to disk before it returns, as far as that can be; a failure is warned about once.
  void remember(const Filters& filters);
  void forget();

 private:
  void read();
  void write();
  void warn(const std::string& what);

  const std::filesystem::path file_;
  const std::string client_id_;
  const bool keep_;
  std::string broker_;
  std::map<std::string, Filters> sessions_;  // by broker
  bool warned_ = false;
};

}  // namespace fastmqttd

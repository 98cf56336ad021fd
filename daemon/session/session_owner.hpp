// The session's inside: the owner thread with all it knows.  Included by the session's own files.
#pragma once

#include <atomic>
#include <condition_variable>
#include <random>
#include <thread>
#include <vector>

#include "daemon/base/guarded.hpp"
#include "daemon/base/log_limit.hpp"
#include "daemon/session/backoff.hpp"
#include "daemon/session/client.hpp"
#include "daemon/session/kept_session.hpp"
#include "daemon/session/login.hpp"
#include "daemon/session/protocol_version.hpp"
#include "daemon/session/publisher.hpp"
#include "daemon/session/session.hpp"
#include "daemon/session/subscriber.hpp"

namespace fastmqttd {

class Session::Owner {
 public:
  Owner(SessionSettings settings, const std::filesystem::path& state_directory, Spool& spool,
        Dispatcher& dispatcher, std::function<void()> attention);
  ~Owner();
  void start();
  void stop();
  void change(std::optional<SessionSettings> settings);
  SessionState state() { return state_.lock()->shown; }
  std::optional<std::string> stuck(TimePoint now);

 private:
  struct Loss {
    std::string why;
    int reason_code = 0;  // of the broker's DISCONNECT
  };
  struct State {
    SessionState shown;
    bool stopping = false;
    std::optional<SessionSettings> settings;  // to go on with
    std::uint64_t changes = 0;                // that were asked for
    bool hurry = false;                       // the next attempt is to come now
    std::optional<Loss> lost;                 // why the connection ended, when it has
    bool more_to_send = false;
    TimePoint last_step = Clock::now();
  };

  void run();
  void warn_of_risks() const;
  void use(SessionSettings settings);
  void be_at_new_session();
  void take_up_settings();

  // session_connect.cpp
  bool connect(std::string& why);
  void log_failure(const ConnectFailure& failure) const;
  bool connect_to(const std::string& host, ConnectFailure& failure);
  std::vector<Endpoint> addresses_of(const std::string& host, std::string& why);
  bool connect_to(const BrokerAddress& address, ConnectFailure& failure);
  std::optional<Client::Connected> attempt(const BrokerAddress& address, ConnectFailure& failure);
  bool fall_back(const ConnectFailure& failure);
  void log_downgrade();
  bool take_keepalive(const Client::Connected& connected);
  bool begin(const Client::Connected& connected, ConnectFailure& failure);
  void look_at_session(const Client::Connected& connected);
  void be_at_session();
  void make_client();
  void end_client();

  Loss serve();
  bool follow_routing();
  void more_to_send();
  void judge(const Loss& loss, Clock::duration lasted);
  void wait_until_drained();
  void pause(const std::string& why);
  void give_up(const std::string& why);
  void say_goodbye();
  bool announce(const char* status, Duration timeout);

  const char* version_text() const { return fastmqttd::version_text(version_->next()); }
  std::string name_of(const Text& host) const;
  void show_refused();
  void set_phase(SessionState::Phase phase, const std::string& reason = "");
  bool stopping() { return state_.lock()->stopping; }
  bool interrupted();
  bool keep_going();
  bool keep_going_connected() { return keep_going() && !state_.lock()->lost; }

  const std::filesystem::path state_directory_;
  Dispatcher& dispatcher_;
  const std::function<void()> attention_;
  std::condition_variable changed_;
  Guarded<State> state_;

  // The owner's own.
  MqttConfig config_;
  std::string client_id_;
  std::string broker_;         // of the attempt or connection at hand
  std::string subscribed_at_;  // the broker at which this process has subscribed everything
  int short_lived_ = 0;        // connections in a row
  std::string last_failure_;
  std::uint32_t failures_ = 0;  // attempts in a row; each is at all hosts
  bool for_good_ = false;       // the broker will go on refusing
  std::optional<ProtocolVersion> version_;
  MqttVersion made_for_{};  // what the records of the store are of
  std::chrono::seconds keepalive_{};
  bool downgrade_logged_ = false;
  bool expiry_logged_ = false;
  bool keys_logged_ = false;
  Login login_;  // of the latest attempt
  std::unique_ptr<KeptSession> kept_;
  std::unique_ptr<Subscriber> subscriber_;
  std::optional<Backoff> backoff_;
  LogLimit refusals_;
  std::minstd_rand random_{std::random_device{}()};
  Publisher publisher_;
  PacketStore store_;
  std::unique_ptr<Client> client_;

  std::atomic<TimePoint> callback_began_{TimePoint()};  // of Paho's thread; the epoch: none runs
  std::thread thread_;
};

}  // namespace fastmqttd

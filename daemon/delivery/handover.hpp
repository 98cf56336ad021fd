// A handler's instance makes room for the next one.
//
// The lane before takes no more messages: it waits until nothing is in its handler's hands,
// destroys its instances and puts what it had in memory only into the spool.  Once all that it has
// settled is written there, the lane after it reads the rest from the spool and starts.  Meanwhile
// what comes for the handler is with the lane after it already, so that nothing is lost, repeated
// or out of order.
//
// A thread of its own does the waiting, one for each handler, so that none waits for another.  The
// rest is main's.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "daemon/delivery/lane.hpp"
#include "daemon/spool/spool.hpp"

namespace fastmqttd {

class Handover {
 public:
  // Begins.  `after` is null for a handler that goes for good: what waits for it stays in the
  // spool. `attention` is called when it is over.
  Handover(std::shared_ptr<Lane> before, std::shared_ptr<Lane> after, Spool* spool,
           std::function<void()> attention);
  ~Handover();  // waits until it is over
  Handover(const Handover&) = delete;
  Handover& operator=(const Handover&) = delete;

  // The one that makes room.
  const std::shared_ptr<Lane>& lane() const { return before_; }
  const std::shared_ptr<Lane>& successor() const { return after_; }
  bool is_over() const { return over_; }
  TimePoint began() const { return began_; }

 private:
  void run();

  const std::shared_ptr<Lane> before_, after_;
  Spool* const spool_;
  const std::function<void()> attention_;
  const TimePoint began_ = Clock::now();
  std::atomic<bool> over_{false};
  std::thread thread_;
};

}  // namespace fastmqttd

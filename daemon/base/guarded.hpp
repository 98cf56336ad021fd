// A value that can be reached only while its lock is held, so data and lock cannot come apart.
//
//   Guarded<Inbox> inbox;
//   inbox.lock()->push_back(event);                       // for the length of the statement
//   auto held = inbox.lock();                             // for the length of the scope
//   while (held->empty()) held.wait(changed);
//
// A mutex alone is not fair: of two that take it again and again, one may go short.  lock_first()
// goes before lock_behind(), however often that is called.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

namespace fastmqttd {

template <class T>
class Guarded {
 public:
  template <class... Args>
  explicit Guarded(Args&&... args) : value_(std::forward<Args>(args)...) {}

  class Locked {
   public:
    T* operator->() const { return value_; }
    T& operator*() const { return *value_; }

    // Both may return early for no reason: look at the value again.
    void wait(std::condition_variable& changed) { changed.wait(lock_); }
    template <class TimePoint>
    void wait_until(std::condition_variable& changed, TimePoint deadline) {
      changed.wait_until(lock_, deadline);
    }
    void unlock() { lock_.unlock(); }
    void relock() { lock_.lock(); }

   private:
    friend class Guarded;
    Locked(std::mutex& mutex, T& value) : lock_(mutex), value_(&value) {}

    std::unique_lock<std::mutex> lock_;
    T* value_;
  };

  Locked lock() { return Locked(mutex_, value_); }
  Locked lock_first() {
    ++first_;
    Locked locked = lock();
    --first_;
    return locked;
  }
  Locked lock_behind() {
    while (first_waits()) std::this_thread::yield();
    return lock();
  }
  // Whether somebody is in lock_first(): what has lasted long should end.
  bool first_waits() const { return first_ > 0; }

 private:
  std::atomic<int> first_{0};
  std::mutex mutex_;
  T value_;
};

}  // namespace fastmqttd

#include "daemon/delivery/handover.hpp"

#include <pthread.h>

#include <utility>

namespace fastmqttd {

Handover::Handover(std::shared_ptr<Lane> before, std::shared_ptr<Lane> after, Spool* spool,
                   std::function<void()> attention)
    : before_(std::move(before)),
      after_(std::move(after)),
      spool_(spool),
      attention_(std::move(attention)) {
  before_->retire();
  thread_ = std::thread([this] { run(); });
}

Handover::~Handover() { thread_.join(); }

void Handover::run() {
  ::pthread_setname_np(::pthread_self(), "handover");
  before_->end();
  before_->keep_unstored();
  if (spool_) spool_->wait_until_written();
  if (after_) after_->start();
  over_ = true;
  attention_();
}

}  // namespace fastmqttd

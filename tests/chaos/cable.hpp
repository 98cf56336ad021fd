// A network of two ends, and a cable between them that can be pulled.
#pragma once

#include <string>

#include "daemon/base/unique_fd.hpp"

namespace fastmqttd::testing {

// This thread, and what it starts, is at the near end from the constructor on; seen by nobody else,
// and gone with the test.
class Cable {
 public:
  static constexpr const char* kNearAddress = "10.77.0.1";
  static constexpr const char* kFarAddress = "10.77.0.2";

  Cable();
  ~Cable();
  Cable(const Cable&) = delete;
  Cable& operator=(const Cable&) = delete;

  // "" when it is there.
  const std::string& why_not() const { return why_not_; }

  void pull();
  void plug();
  // What is started in `work` is at the far end.
  template <class Work>
  void at_far_end(Work&& work) {
    enter(far_);
    work();
    enter(near_);
  }

 private:
  static UniqueFd own_namespace();
  static void enter(const UniqueFd& network);
  void lay();

  UniqueFd before_;
  UniqueFd near_;
  UniqueFd far_;
  std::string why_not_;
};

}  // namespace fastmqttd::testing

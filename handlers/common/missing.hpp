// The option `missing`: what becomes of a message in which a placeholder finds nothing and has no
// default.  It is rejected, for that may be a mistake; or skipped, where a topic filter lets
// messages of several kinds through, and this one is of no interest.
#pragma once

#include <optional>

#include "fastmqtt/handler.hpp"
#include "handlers/common/template.hpp"

namespace fastmqtt::common {

// In the handler's turn.
class Missing {
 public:
  // Throws OptionError.
  explicit Missing(const Host& host) {
    if (host.option("missing", false, {{"reject", false}, {"skip", true}}))
      skipped_.emplace(host.counter("skipped"));
  }

  // Of a message that cannot be made into what is wanted: whether it is done with all the same,
  // as all that is wrong is that the last template found nothing in it.  It is counted then.
  bool skips(const Source& source) const {
    if (!skipped_ || !source.found_nothing()) return false;
    skipped_->add();
    return true;
  }

 private:
  std::optional<Counter> skipped_;  // with skip
};

}  // namespace fastmqtt::common

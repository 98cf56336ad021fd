// tally - the handler that is compared with bare clients: counts, as they do.
#include "tests/bench/compare/tally.hpp"

#include "fastmqtt/handler.hpp"

namespace {

class TallyHandler {
 public:
  static constexpr const char* options[] = {"file", "expected", "latency"};

  explicit TallyHandler(fastmqtt::Host host)
      : tally_(host.required<std::uint64_t>("expected"), host.required<std::string>("file"),
               host.option("latency", false)) {}

  void on_messages(fastmqtt::Batch batch) {
    for (const fastmqtt::Message message : batch) tally_.add(message.payload());
  }

 private:
  bench::Tally tally_;
};

}  // namespace

FASTMQTT_HANDLER(TallyHandler, "tally", "1.0", 0);

// What is subscribed on the session that the broker keeps for us, remembered across runs in the
// state directory, so that a filter which the configuration has no longer can be unsubscribed.
//
// A small JSON file, session.json, replaced as a whole.  The session's owner only.
#pragma once

#include <filesystem>
#include <set>
#include <string>

namespace fastmqttd {

class KeptSession {
 public:
  // Reads what an earlier run with that client identifier left.  What cannot be read is as good as
  // nothing, with a warning.  Without `keep` the broker keeps nothing, and nothing is written.
  KeptSession(const std::filesystem::path& directory, std::string client_id, bool keep);

  // Whether an earlier run had a session; forget() does away with that.
  bool known() const { return known_; }
  // The filters that the broker may have, as they were sent.
  const std::set<std::string>& filters() const { return filters_; }
  // Written to disk before it returns, as far as that can be; a failure is warned about once.
  void remember(const std::set<std::string>& filters);
  void forget();

 private:
  void read();
  void warn(const std::string& what);

  const std::filesystem::path file_;
  const std::string client_id_;
  const bool keep_;
  std::set<std::string> filters_;
  bool known_ = false;
  bool warned_ = false;
};

}  // namespace fastmqttd

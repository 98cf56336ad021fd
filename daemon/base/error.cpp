#include "daemon/base/error.hpp"

#include <algorithm>

namespace fastmqttd {

std::string to_string(const Place& place) {
  std::string text = place.file;
  if (place.line > 0) text += ":" + std::to_string(place.line);
  if (place.line > 0 && place.column > 0) text += ":" + std::to_string(place.column);
  return text;
}

std::string to_string(const Problem& problem) {
  std::string text;
  for (const std::string& part :
       {to_string(problem.place), problem.key, problem.what, problem.expected}) {
    if (part.empty()) continue;
    if (!text.empty()) text += ": ";
    text += part;
  }
  return text;
}

StartError::StartError(std::vector<Problem> problems) : problems_(std::move(problems)) {
  for (const Problem& problem : problems_)
    text_ += (text_.empty() ? "" : "\n") + to_string(problem);
}

StartError::StartError(std::vector<Problem> problems, ExitStatus status)
    : StartError(std::move(problems)) {
  status_ = status;
}

ExitStatus StartError::status() const {
  if (status_) return *status_;
  const bool only_unsafe =
      !problems_.empty() &&
      std::ranges::all_of(problems_, [](const Problem& p) { return p.unsafe; });
  return only_unsafe ? ExitStatus::unsafe : ExitStatus::config;
}

}  // namespace fastmqttd

// What start-up throws: every problem found, each with its place, and the exit status they lead to.
//
// Start-up (options, config, plugins) collects problems and throws one StartError; the message path
// never throws it and returns results instead.  Plain values, no locks.
#pragma once

#include <exception>
#include <optional>
#include <string>
#include <vector>

namespace fastmqttd {

// sysexits(3), as far as the daemon uses them.
enum class ExitStatus : int {
  ok = 0,
  usage = 64,
  unavailable = 69,  // the broker was given up on
  internal = 70,
  spool = 74,   // it cannot be used
  unsafe = 77,  // a plugin or file that others could have changed
  config = 78,
};

// Where a problem stands.  Line and column count from 1; 0 means that there is none to name.
struct Place {
  std::string file;
  int line = 0;
  int column = 0;

  auto operator<=>(const Place&) const = default;
};

// One thing that is wrong, in the words that the operator reads:
// `file:line:column: key: what is wrong: what is expected`.
struct Problem {
  Place place;
  std::string key;
  std::string what;
  std::string expected;
  bool unsafe = false;  // a matter of ownership or mode, not of content
};

std::string to_string(const Place& place);
std::string to_string(const Problem& problem);

class StartError : public std::exception {
 public:
  explicit StartError(std::vector<Problem> problems);
  // With a status of its own.
  StartError(std::vector<Problem> problems, ExitStatus status);

  const std::vector<Problem>& problems() const { return problems_; }
  // When it was not given: `unsafe` when nothing but ownership and modes is wrong, else `config`.
  ExitStatus status() const;
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::vector<Problem> problems_;
  std::optional<ExitStatus> status_;
  std::string text_;  // a line per problem
};

}  // namespace fastmqttd

// Stands in for a third party's header-only library, version 1: with the kinds of things that the
// loader would share between plugins if they let it.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#pragma GCC visibility push(default)

namespace palette {

inline int brightness = 1;

inline std::string& colour() {
  static std::string one = "red";
  return one;
}

template <class T>
struct Mixer {
  static inline std::vector<T> mixed{1};
};

struct Shade {
  virtual ~Shade() = default;
  virtual std::string name() const { return "light"; }
};

struct Error : std::runtime_error {
  explicit Error(const std::string& what) : std::runtime_error("v1: " + what) {}
};

}  // namespace palette

#pragma GCC visibility pop

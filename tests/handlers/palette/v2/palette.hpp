// Version 2 of the same library: the same names, other contents.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#pragma GCC visibility push(default)

namespace palette {

inline int brightness = 2;

inline std::string& colour() {
  static std::string one = "blue";
  return one;
}

template <class T>
struct Mixer {
  static inline std::vector<T> mixed{1, 2};
};

struct Shade {
  virtual ~Shade() = default;
  virtual int depth() const { return 7; }
  virtual std::string name() const { return "dark"; }
  std::string owner = "nobody";
};

struct Error : std::runtime_error {
  explicit Error(const std::string& what) : std::runtime_error("v2: " + what), code(2) {}
  int code;
};

}  // namespace palette

#pragma GCC visibility pop

// What dlerror(3) says, without the path that it usually repeats.
#pragma once

#include <dlfcn.h>

#include <string>

namespace fastmqttd {

inline std::string dl_error(const std::string& path) {
  const char* text = ::dlerror();
  std::string error = text ? text : "unknown reason";
  if (error.starts_with(path + ": ")) error.erase(0, path.size() + 2);
  return error;
}

}  // namespace fastmqttd

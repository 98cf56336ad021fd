// Any bytes as a configuration file: read, or refused with a report; what is read prints as YAML
// that reads back to the same.
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "daemon/base/log.hpp"
#include "daemon/config/print.hpp"
#include "daemon/config/reader.hpp"

using namespace fastmqttd;

namespace {

// A file in memory-backed storage where there is some: one a process.
const std::string& path() {
  static const std::string path = [] {
    const bool shm = ::access("/dev/shm", W_OK) == 0;
    std::string name = std::string(shm ? "/dev/shm" : "/tmp") + "/fastmqttd-fuzz-XXXXXX";
    if (!::mkdtemp(name.data())) std::abort();
    return name + "/fastmqttd.yaml";
  }();
  return path;
}

void write(const char* data, std::size_t size) {
  const int fd = ::open(path().c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0 || ::write(fd, data, size) != static_cast<ssize_t>(size)) std::abort();
  ::close(fd);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  write(reinterpret_cast<const char*>(data), size);
  std::string printed;
  try {
    printed = print_config(read_config(path()));
  } catch (const StartError& error) {
    if (error.problems().empty()) std::abort();
    return 0;
  }
  write(printed.data(), printed.size());
  try {
    if (print_config(read_config(path())) != printed) std::abort();
  } catch (const StartError&) {
    std::abort();
  }
  return 0;
}

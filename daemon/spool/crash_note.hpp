// What a handler had in its hands when it took the daemon with it, or hung until the daemon was
// ended: a file in the state directory, for the next start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace fastmqttd {

struct CrashNote {
  std::string handler;
  std::string what;                     // it did: "crashed (SIGSEGV)"
  std::vector<std::uint64_t> messages;  // their ids, of those that were stored
};

// From now on notes go into that directory.  [main, before anything can crash]
void set_crash_note_directory(const std::filesystem::path& directory);

// [any thread, and safe in a signal handler, see signal-safety(7)] Ids of 0 are left out; without
// any other, or without a directory, nothing is written.
void write_crash_note(const char* handler, const char* what, const std::uint64_t* messages,
                      std::size_t count) noexcept;

// That of the last run, if it left one that can be read.
std::optional<CrashNote> read_crash_note();
void remove_crash_note() noexcept;

}  // namespace fastmqttd

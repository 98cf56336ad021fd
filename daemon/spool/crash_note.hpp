// What a handler had in its hands when it took the daemon with it, or hung until the daemon was
// ended: a file in the state directory, for the next start.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "daemon/plugin/handler_call.hpp"

namespace fastmqttd {

struct CrashNote {
  std::string handler;
  bool crashed = false;    // else it hung
  std::string what;        // it did: "crashed (SIGSEGV)"
  std::uint32_t runs = 1;  // so many, one after the other, has it ended by a crash
  std::vector<InHand> messages;
};

// [main, before anything can crash] Makes the file, with room for a note, so that writing one needs
// neither a descriptor nor the disk's consent then.  Without it there are no notes.
void open_crash_note(const std::filesystem::path& directory);

// [any thread, and safe in a signal handler, see signal-safety(7)] Of the last run's is nothing
// left then, nor of one that hung.  Messages that are not stored are left out.
void note_crash(const char* handler, const char* what, const InHand* messages,
                std::size_t count) noexcept;
// [main] The same of one that hangs, for now; nothing once there is a crash.
void note_hang(const char* handler, const std::vector<InHand>& messages) noexcept;
void forget_hang() noexcept;

// [main] The run has lasted for a while: whatever ends it, those before are another matter.
void forget_crashed_runs() noexcept;

// [main, at the start] That of the last run, if it left one that is whole.
std::optional<CrashNote> read_crash_note();
void remove_crash_note() noexcept;

}  // namespace fastmqttd

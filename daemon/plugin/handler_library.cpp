#include "daemon/plugin/handler_library.hpp"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>

#include "daemon/base/fnv.hpp"
#include "daemon/base/guarded.hpp"
#include "daemon/base/log.hpp"
#include "daemon/plugin/dl_error.hpp"
#include "daemon/plugin/handler_call.hpp"
#include "daemon/plugin/safe_path.hpp"
#include "daemon/plugin/trial_load.hpp"

namespace fastmqttd {
namespace {

namespace fs = std::filesystem;

// Version 1 of the struct as it was first released; a plugin can have no less.
constexpr std::size_t kLeastHandlerSize = offsetof(fastmqtt_handler, on_wake) + sizeof(void*);
constexpr const char* kHowToBuild =
    "build it with fastmqtt_add_handler() and declare it with FASTMQTT_HANDLER";

constexpr Duration kTrialLimit = std::chrono::seconds(10);

#if defined(__x86_64__)
constexpr Elf64_Half kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr Elf64_Half kMachine = EM_AARCH64;
#elif defined(__riscv)
constexpr Elf64_Half kMachine = EM_RISCV;
#elif defined(__arm__)
constexpr Elf64_Half kMachine = EM_ARM;
#elif defined(__i386__)
constexpr Elf64_Half kMachine = EM_386;
#else
constexpr Elf64_Half kMachine = EM_NONE;  // unknown: dlopen will tell
#endif

#if __SIZEOF_POINTER__ == 8
using ElfHeader = Elf64_Ehdr;
using ElfSegment = Elf64_Phdr;
constexpr int kClass = ELFCLASS64;
#else
using ElfHeader = Elf32_Ehdr;
using ElfSegment = Elf32_Phdr;
constexpr int kClass = ELFCLASS32;
#endif

// Whether every segment lies within the file: the loader maps them unseen, and touching one past
// the end of a file that is still being copied would kill the process.
bool complete(int fd, const ElfHeader& header) {
  struct stat info {};
  if (::fstat(fd, &info) != 0 || header.e_phentsize != sizeof(ElfSegment)) return false;
  const auto size = static_cast<std::uint64_t>(info.st_size);
  bool loads = false, dynamic = false;
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    ElfSegment segment{};
    const auto at = static_cast<off_t>(header.e_phoff + i * sizeof segment);
    if (::pread(fd, &segment, sizeof segment, at) != sizeof segment) return false;
    if (segment.p_type == PT_LOAD &&
        (segment.p_offset > size || segment.p_filesz > size - segment.p_offset))
      return false;
    loads |= segment.p_type == PT_LOAD;
    dynamic |= segment.p_type == PT_DYNAMIC;
  }
  return loads && dynamic;
}

std::string elf_problem(int fd) {
  ElfHeader header{};
  const ssize_t got = ::pread(fd, &header, sizeof header, 0);
  if (got < EI_NIDENT || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    return "is not an ELF file";
  if (header.e_ident[EI_CLASS] != kClass || (kMachine != EM_NONE && header.e_machine != kMachine))
    return "was built for another processor architecture";
  if (got < static_cast<ssize_t>(sizeof header)) return "is cut short or garbled";
  if (header.e_type != ET_DYN) return "is an ELF file, but no shared object";
  if (!complete(fd, header)) return "is cut short or garbled";
  return {};
}

// DT_SONAME of a loaded library, empty when it has none.
std::string soname_of(void* handle) {
  const link_map* map = nullptr;
  if (::dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0) return {};
  const char* strings = nullptr;
  std::optional<std::size_t> at;
  for (const ElfW(Dyn)* entry = map->l_ld; entry->d_tag != DT_NULL; ++entry) {
    // glibc has turned the address into one of this process, unless the section is read-only.
    if (entry->d_tag == DT_STRTAB)
      strings = reinterpret_cast<const char*>(
          entry->d_un.d_ptr < map->l_addr ? map->l_addr + entry->d_un.d_ptr : entry->d_un.d_ptr);
    if (entry->d_tag == DT_SONAME) at = entry->d_un.d_val;
  }
  return strings && at ? std::string(strings + *at) : std::string();
}

bool valid_name(const char* name) {
  if (!name || !*name || std::strlen(name) > 64) return false;
  return std::all_of(name, name + std::strlen(name), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

// An exception of a plugin that brings its own unwinder (-static-libgcc) is caught by ours with
// tables that libgcc sets up at the first throw; without them it aborts.
void set_up_unwinder() {
  try {
    throw 0;
  } catch (int) {
  }
}

// Which content a file has, as far as that shows from outside.
struct FileState {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  std::int64_t changed_ns = 0;

  bool is_same_file(const FileState& other) const {
    return device == other.device && inode == other.inode;
  }
  bool operator==(const FileState&) const = default;
};

// Of its content, where the times say that it may be another.
std::uint64_t hash_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::uint64_t hash = fnv("");
  char block[64 << 10];
  while (in.read(block, sizeof block) || in.gcount() > 0)
    hash = fnv({block, static_cast<std::size_t>(in.gcount())}, hash);
  return hash;
}

FileState state_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return {};
  return {info.st_dev, info.st_ino, info.st_size,
          std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec};
}

// What this process has loaded, by path, the latest last.
struct Loaded {
  FileState state;
  std::uint64_t hash = 0;
  void* handle = nullptr;
};
Guarded<std::map<std::string, std::vector<Loaded>>> all_loaded;

// dlopen(3) knows a file that it has loaded by its name, whatever has become of that: another one
// has to go by another name for it.
std::string name_for(const std::string& path, std::size_t times_loaded) {
  const fs::path file(path);
  std::string name = file.parent_path().string() + "/";
  for (std::size_t i = 0; i < times_loaded; ++i) name += "./";
  return name + file.filename().string();
}

// Loads one file; throws the Problem with it.
class Loader {
 public:
  Loader() { set_up_unwinder(); }

  HandlerLibrary load(const std::string& path) {
    check_file(path);
    return load_checked(path);
  }

  // Without the checks of its content and owner.
  HandlerLibrary load_checked(const std::string& path) {
    void* const handle = handle_of(path);
    const auto [first, is_new] = handles_.emplace(handle, path);
    if (!is_new)
      throw problem(path, "is the same file as " + first->second, "remove one of the two");
    check_soname(path, handle);
    const auto* handler = static_cast<const fastmqtt_handler*>(::dlsym(handle, FASTMQTT_SYMBOL_V1));
    if (!handler) throw problem(path, "has no symbol " FASTMQTT_SYMBOL_V1, kHowToBuild);
    return describe(path, *handler);
  }

 private:
  // As it is now: what was loaded before is not loaded again.
  static void* handle_of(const std::string& path) {
    const FileState state = state_of(path);
    std::vector<Loaded> loaded = (*all_loaded.lock())[path];
    for (const Loaded& one : loaded) {
      if (one.state == state) return one.handle;
      if (one.state.is_same_file(state) && one.hash == hash_of(path)) return one.handle;
      if (one.state.is_same_file(state))
        throw problem(path, "was written over while it is in use",
                      "a new file in its place, as install(1) and mv(1) make it, and a restart");
    }
    // By its path, not by the checked descriptor, for the sake of debuggers: in a safe directory
    // the name cannot have come to mean another file.
    try_out(path);
    const HandlerCall call(path.c_str(), HandlerCall::Kind::starting);
    ::dlerror();
    void* const handle =
        ::dlopen(name_for(path, loaded.size()).c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle) throw problem(path, "cannot be loaded: " + dl_error(path), "");
    (*all_loaded.lock())[path].push_back({state, hash_of(path), handle});
    return handle;
  }

  static void try_out(const std::string& path) {
    const HandlerCall trial(path.c_str(), HandlerCall::Kind::on_trial);
    if (const std::string why = trial_load(path, kTrialLimit); !why.empty())
      throw problem(path, why, "");
  }

  static Problem problem(const std::string& path, std::string what, std::string expected) {
    return {{path, 0, 0}, "", std::move(what), std::move(expected), false};
  }

  static void check_file(const std::string& path) {
    std::string why;
    bool unsafe = false;
    const UniqueFd fd = open_safe_file(path, why, unsafe);
    if (!fd) throw Problem{{path, 0, 0}, "", why, "", unsafe};
    if (const std::string elf = elf_problem(fd.get()); !elf.empty())
      throw problem(path, elf, "a shared object for this machine");
  }

  // The loader knows a library by its soname: with two of one it may take the one for the other.
  void check_soname(const std::string& path, void* handle) {
    const std::string soname = soname_of(handle);
    if (soname.empty()) return;
    const auto [first, is_new] = sonames_.emplace(soname, path);
    if (!is_new)
      throw problem(path, "has the same soname as " + first->second + ", " + soname,
                    "build it with a soname of its own, or with none");
  }

  static HandlerLibrary describe(const std::string& path, const fastmqtt_handler& handler) {
    if (handler.size < kLeastHandlerSize)
      throw problem(path,
                    "its " FASTMQTT_SYMBOL_V1 " has size " + std::to_string(handler.size) +
                        ", at least " + std::to_string(kLeastHandlerSize) + " is needed",
                    "set size to sizeof(fastmqtt_handler)");
    if (!valid_name(handler.name))
      throw problem(path, "its handler has no valid name", "1 to 64 of a-z, 0-9, '_' and '-'");
    if (!handler.version) throw problem(path, "its handler has no version", kHowToBuild);
    if (!handler.create || !handler.destroy || !handler.on_messages)
      throw problem(path, "its handler lacks create, destroy or on_messages", kHowToBuild);

    if (const std::uint32_t unknown = handler.flags & FASTMQTT_ESSENTIAL; unknown != 0)
      throw problem(path, fmt::format("its flags {:#x} are unknown to this version", unknown),
                    "a newer fastmqttd, or a plugin that does without");

    HandlerLibrary library{path, &handler, handler.name, {}, handler.options != nullptr, {}};
    for (auto topic = handler.topics; topic && *topic; ++topic) {
      if (const std::string error = topic_filter_error(*topic); !error.empty())
        throw problem(path, "its default topic filter '" + std::string(*topic) + "' is not valid",
                      error);
      library.topics.emplace_back(*topic);
    }
    for (auto option = handler.options; option && *option; ++option)
      library.options.emplace_back(*option);
    return library;
  }

  std::map<void*, std::string> handles_;
  std::map<std::string, std::string> sonames_;
};

std::vector<std::string> shared_objects(const std::string& directory,
                                        const std::set<std::string>& skip) {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(directory))
    if (entry.path().extension() == ".so" && !skip.contains(entry.path().stem().string()))
      files.push_back(entry.path().string());
  std::ranges::sort(files);
  return files;
}

}  // namespace

std::vector<HandlerLibrary> load_handler_libraries(const std::vector<std::string>& directories,
                                                   bool may_be_absent,
                                                   const std::set<std::string>& skip,
                                                   std::vector<Problem>& problems) {
  std::vector<HandlerLibrary> libraries;
  Loader loader;
  for (const std::string& directory : directories) {
    std::error_code error;
    if (!fs::is_directory(directory, error)) {
      if (error == std::errc::no_such_file_or_directory || !error) {
        if (!may_be_absent || fs::exists(directory, error))
          problems.push_back({{directory, 0, 0},
                              "plugin_directories",
                              "is not a directory",
                              "an existing directory",
                              false});
        continue;
      }
    }
    if (const std::string why = unsafe_directory(directory); !why.empty()) {
      problems.push_back({{directory, 0, 0}, "plugin_directories", why, "", true});
      continue;
    }
    for (const std::string& path : shared_objects(directory, skip)) {
      try {
        HandlerLibrary library = loader.load(path);
        const auto twin = std::ranges::find(libraries, library.name, &HandlerLibrary::name);
        if (twin == libraries.end())
          libraries.push_back(std::move(library));
        else
          problems.push_back(
              {{path, 0, 0},
               "",
               "is a second handler named '" + library.name + "', after " + twin->path,
               "remove one of the two",
               false});
      } catch (const Problem& problem) {
        problems.push_back(problem);
      }
    }
  }
  return libraries;
}

HandlerLibrary load_handler_library(const std::string& path, std::vector<Problem>& doubts) {
  std::error_code error;
  const fs::path real = fs::canonical(path, error);  // dlopen(3) looks up a bare name elsewhere
  if (error) throw Problem{{path, 0, 0}, "", error.message(), "a plugin's file", false};
  if (const std::string why = unsafe_directory(real.parent_path()); !why.empty())
    doubts.push_back({{path, 0, 0}, "", why, "", true});
  Loader loader;
  try {
    return loader.load(real);
  } catch (const Problem& problem) {
    if (!problem.unsafe) throw;
    doubts.push_back(problem);
    return loader.load_checked(real);
  }
}

}  // namespace fastmqttd

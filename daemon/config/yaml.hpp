// YAML text to Tree and back; the one place that knows the YAML library.
//
// Input may be hostile: size, depth and what aliases unfold to are bounded.
#pragma once

#include <string>
#include <vector>

#include "daemon/base/error.hpp"
#include "daemon/config/tree.hpp"

namespace fastmqttd {

inline constexpr std::size_t kMaxYamlBytes = 256 << 10;      // of one file
inline constexpr std::size_t kMaxYamlUnfolded = 1024 << 10;  // of its texts, aliases followed
inline constexpr std::size_t kMaxYamlNodes = 50'000;
inline constexpr int kMaxYamlDepth = 32;
inline constexpr std::size_t kMaxYamlKeyBytes = 256;

// Reads the one document in `text`; `file` goes into the places.  Adds what is wrong to `problems`:
// every duplicate key (both places named), the first error of syntax or bound.  After such an error
// the tree is empty.  An empty file is an empty tree.
Tree parse_yaml(const std::string& text, const std::string& file, std::vector<Problem>& problems);

// Without a newline at the end.  What was plain stays plain, so it reads back as the same type.
std::string to_yaml(const Tree& tree);

}  // namespace fastmqttd

// The word that a mistyped one was most likely meant to be.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace fastmqttd {

// The candidate with the smallest edit distance to `word`, or "" when none is near enough to be
// worth a suggestion.  A swap of two neighbouring letters counts as one edit.
std::string nearest(std::string_view word, std::span<const std::string> candidates);

}  // namespace fastmqttd

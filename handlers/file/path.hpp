// Where a message goes: the template of a path, of which each placeholder gives one name, or a part
// of one, and never a way to another directory.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fastmqtt/handler.hpp"
#include "handlers/common/template.hpp"

namespace fastmqtt::file {

// Stands between a file's name and the time it was rotated.  Nothing that comes with a message
// holds it, so no topic can pass for a rotated file of another one.
constexpr char kRotatedMark = '~';

class Path {
 public:
  // From the option `path`; throws OptionError.
  explicit Path(const Host& host);

  // Nothing, with the reason in `why`, when the message has no file.
  std::optional<std::string> fill(common::Source& source, std::string& why) const;

  // What is the same for all messages: the directory, and how many further names lead to a file.
  const std::string& root() const { return root_; }
  // Of those names, each as a pattern for fnmatch(3).  The last is the file's own.
  const std::vector<std::string>& patterns() const { return patterns_; }

 private:
  const common::Template template_;
  std::string root_;
  std::vector<std::string> patterns_;
};

}  // namespace fastmqtt::file

// file - appends each message to a file as a line: of JSON, or of a template.
//
// What is waiting is written with one write for each file, and answered once that is on disk.  The
// lines of a batch are in the file in whole or not at all, even if the disk is full in the middle.
#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "fastmqtt/handler.hpp"
#include "handlers/common/message_json.hpp"
#include "handlers/common/missing.hpp"
#include "handlers/common/template.hpp"
#include "handlers/file/line.hpp"
#include "handlers/file/open_files.hpp"
#include "handlers/file/path.hpp"
#include "handlers/file/rotated.hpp"

namespace {

using fastmqtt::Batch;
using fastmqtt::Bytes;
using fastmqtt::Host;
using fastmqtt::Level;
using fastmqtt::Message;
using fastmqtt::OptionError;
using fastmqtt::Result;
using fastmqtt::common::Source;
using fastmqtt::common::Template;
using fastmqtt::file::Rotation;
using fastmqtt::file::Writing;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr std::size_t kMostGathered = 8 << 20;  // bytes, before they are written
constexpr seconds kUnused{60};                  // then a file is closed
constexpr std::size_t kMostTroubles = 100;      // files of which is known that they are in trouble

Rotation rotation_of(const Host& host) {
  const bool given = host.config("rotate").has_value() || !host.members("rotate").empty();
  for (const auto& [name, value] : host.map("rotate"))
    if (name != "size" && name != "age" && name != "keep" && name != "compress")
      throw OptionError("rotate." + name, "unknown: expected size, age, keep or compress");
  Rotation rotation;
  rotation.size = host.option("rotate.size", Bytes{0}, Bytes{1024}).count;
  rotation.age = host.option("rotate.age", seconds(0), seconds(1));
  rotation.keep = host.option<std::size_t>("rotate.keep", 0, 1, 1'000'000);
  rotation.compress = host.option("rotate.compress", false);
  if (given && !rotation.is_wanted())
    throw OptionError("rotate", "expected a size or an age, such as {size: 10MiB, keep: 7}");
  return rotation;
}

// Such as 0640: read and written by its owner, run by nobody.
bool is_mode(std::string_view text) {
  const auto is_digit = [](char c) { return c == '0' || c == '2' || c == '4' || c == '6'; };
  return text.size() == 4 && text.starts_with("06") && is_digit(text[2]) && is_digit(text[3]);
}

mode_t mode_of(const Host& host) {
  const std::string text = host.option("mode", "0640");
  if (is_mode(text)) return static_cast<mode_t>(std::stoul(text, nullptr, 8));
  if (is_mode("0" + text)) throw OptionError("mode", "expected it with a 0 in front: 0" + text);
  throw OptionError("mode",
                    "expected a mode that lets its owner read and write, and nobody run "
                    "it, such as 0640");
}

// Nothing: JSON.
std::optional<Template> format_of(const Host& host) {
  const std::string text = host.option("format", "json");
  if (text == "json") return std::nullopt;
  Template format = fastmqtt::common::template_option(host, "format", "json");
  if (text.find_first_of("\r\n") != std::string::npos)
    throw OptionError("format", "expected one line, without a line break: its end is added");
  if (format.is_constant())
    throw OptionError("format", "expected json, or a template such as '{time} {topic} {payload}'");
  return format;
}

class File {
 public:
  static constexpr const char* options[] = {"path", "format",     "rotate", "sync",
                                            "mode", "open_files", "missing"};

  explicit File(Host host)
      : host_(host),
        path_(host),
        format_(format_of(host)),
        missing_(host),
        rotation_(rotation_of(host)),
        rotated_(host.counter("rotated")),
        files_(host,
               Writing{
                   .root = path_.root(),
                   .mode = mode_of(host),
                   .sync = host.option<bool>("sync", true, {{"batch", true}, {"none", false}}),
                   .json = !format_,
               },
               rotation_, host.option<std::size_t>("open_files", 64, 1, 10'000),
               [this](const std::string& path) { has_rotated(path); }) {
    if (rotation_.keep > 0 || rotation_.compress)
      tidier_ =
          std::make_unique<fastmqtt::file::Tidier>(host, rotation_, path_.root(), path_.patterns());
    // In the handler's turn, which --check does not get to: nothing is touched before.
    if (tidier_) host_.wake();
    alarm_is_set_ = tidier_ != nullptr;
  }

  void on_messages(Batch batch) {
    groups_.clear();  // should the batch before have ended in an exception
    failed_.clear();
    began_ = host_.now();
    std::size_t size = 0;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      size += gather(batch, i);
      if (size < kMostGathered) continue;
      write(batch);
      size = 0;
    }
    write(batch);
    look_for_unused();
  }

  void on_wake() {
    if (tidier_ && !std::exchange(resumed_, true)) tidier_->resume();
    alarm_is_set_ = false;
    files_.close_unused_since(host_.now() - kUnused);
    look_for_unused();
  }

 private:
  struct Group {
    std::string lines;
    std::vector<std::size_t> messages;  // their places in the batch
  };

  // How many bytes are to be written for it.
  std::size_t gather(Batch& batch, std::size_t i) {
    const Message message = batch[i];
    Source source(message, host_.name());
    std::string why;
    const auto path = path_.fill(source, why);
    std::optional<std::string> line;
    if (path) {
      line = format_ ? format_->fill(source, fastmqtt::file::in_line)
                     : fastmqtt::common::message_json(message);
      if (!line) why = source.missing();
    }
    if (!line) {
      if (missing_.skips(source)) return 0;
      host_.log(Level::error, why + ": there is no line for it, or no file", message);
      batch.answer(i, Result::reject);
      return 0;
    }
    Group& group = groups_[*path];
    group.lines += *line;
    group.lines += '\n';
    group.messages.push_back(i);
    return line->size() + 1;
  }

  void write(Batch& batch) {
    for (auto& [path, group] : std::exchange(groups_, {})) {
      // Those that come later must not overtake.
      if (failed_.contains(path) || is_late(batch) || !append(path, group.lines)) {
        failed_.insert(path);
        for (const std::size_t i : group.messages) batch.answer(i, Result::retry);
      }
    }
  }

  bool append(const std::string& path, const std::string& lines) {
    try {
      files_.append(path, lines);
    } catch (const std::system_error& error) {
      report(path, error);
      return false;
    }
    if (!troubles_.empty() && troubles_.erase(path) > 0)
      host_.log(Level::info, path + ": is written again");
    return true;
  }

  // A slow disk: rather some of them again than all of them overdue.
  bool is_late(const Batch& batch) const {
    const nanoseconds deadline = batch[0].deadline();
    return deadline.count() > 0 && host_.now() > began_ + (deadline - began_) / 4 * 3;
  }

  // Once for each file and reason.
  void report(const std::string& path, const std::system_error& error) {
    const std::string what = error.what();
    if (const auto known = troubles_.find(path); known != troubles_.end() && known->second == what)
      return;
    if (troubles_.size() < kMostTroubles) troubles_[path] = what;
    const int number = error.code().value();
    const char* advice = "";
    if (number == ENOSPC || number == EDQUOT)
      advice = ": nothing of it was written, it is tried again";
    else if (number == EROFS || number == EACCES || number == EPERM)
      advice = ": expected a place where the daemon may write: see SANDBOX in fastmqttd(8)";
    else if (number == ELOOP || number == ENOTDIR)
      advice = ": symbolic links are not followed there";
    host_.log(Level::error, what + advice);
  }

  void has_rotated(const std::string& path) {
    rotated_.add();
    if (tidier_) tidier_->rotated(path);
  }

  // An open file that was deleted takes room on the disk.
  void look_for_unused() {
    if (files_.empty() || std::exchange(alarm_is_set_, true)) return;
    host_.wake_at(host_.now() + kUnused);
  }

  const Host host_;
  const fastmqtt::file::Path path_;
  const std::optional<Template> format_;
  const fastmqtt::common::Missing missing_;
  const Rotation rotation_;
  const fastmqtt::Counter rotated_;
  fastmqtt::file::OpenFiles files_;
  std::unique_ptr<fastmqtt::file::Tidier> tidier_;
  bool resumed_ = false;
  bool alarm_is_set_ = false;

  // Of the batch at hand.
  nanoseconds began_{};
  std::map<std::string, Group> groups_;  // by path
  std::set<std::string> failed_;         // paths

  std::map<std::string, std::string> troubles_;  // by path: what was said of it last
};

}  // namespace

FASTMQTT_HANDLER(File, "file", "1.0", FASTMQTT_SHARDABLE);

// The body of a request: a template whose placeholders are made fit for the format around them, so
// that no message can break out of its place.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "handlers/common/template.hpp"

namespace fastmqtt::webhook {

enum class Format {
  raw,            // as it comes
  json,           // in quotes: escaped; elsewhere: has to be JSON itself
  form,           // application/x-www-form-urlencoded
  line_protocol,  // InfluxDB's: in quotes a string, elsewhere a name, a tag or a number
};

// A text that is a template, in its parts: placeholders with their braces, and what is between them
// with single braces.  The text has to be one that Template takes.
struct Piece {
  std::string text;
  bool is_placeholder = false;
};
std::vector<Piece> pieces_of(std::string_view text);
// With something harmless for each placeholder.
std::string sample_of(const std::vector<Piece>& pieces, const std::string& filling);

class Body {
 public:
  // Throws std::invalid_argument with what is wrong: of JSON, whatever no message could make right.
  Body(std::string_view text, Format format);

  // Nothing when a placeholder finds nothing, or what does not fit: `problem` says what.
  std::optional<std::string> fill(common::Source& source, std::string& problem) const;

 private:
  struct Part {
    std::string literal;
    std::optional<common::Template> placeholder = {};
    bool quoted = false;
  };
  std::optional<std::string> fill(const Part& part, common::Source& source,
                                  std::string& problem) const;
  void check_json() const;

  const Format format_;
  std::vector<Part> parts_;
};

bool is_json(std::string_view text);

}  // namespace fastmqtt::webhook

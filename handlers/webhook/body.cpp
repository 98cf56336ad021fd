#include "handlers/webhook/body.hpp"

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <variant>

namespace fastmqtt::webhook {
namespace {

using common::Source;
using common::Template;

// A name, a tag or a number of the line protocol.  It has no way to write a line break there.
std::string in_line_protocol(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == ',' || c == '=' || c == ' ') escaped += '\\';
    if (c == '\n')
      escaped += "\\n";
    else if (c == '\r')
      escaped += "\\r";
    else
      escaped += c;
  }
  return escaped;
}

std::string in_line_protocol_string(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '"' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

common::Escape escape_for(Format format, bool quoted) {
  switch (format) {
    case Format::raw: return common::plain;
    case Format::json: return quoted ? common::in_json : common::plain;
    case Format::form: return common::in_url;
    case Format::line_protocol: return quoted ? in_line_protocol_string : in_line_protocol;
  }
  return common::plain;
}

}  // namespace

bool is_json(std::string_view text) { return nlohmann::json::accept(text); }

std::vector<Piece> pieces_of(std::string_view text) {
  std::vector<Piece> pieces;
  std::string literal;
  const auto end_literal = [&] {
    if (!literal.empty()) pieces.push_back({std::exchange(literal, {})});
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool brace = text[i] == '{' || text[i] == '}';
    const bool doubled = brace && i + 1 < text.size() && text[i + 1] == text[i];
    if (!brace || doubled) {
      literal += text[i];
      if (doubled) ++i;
      continue;
    }
    end_literal();
    const std::size_t end = text.find('}', i);
    pieces.push_back({std::string(text.substr(i, end - i + 1)), true});
    i = end;
  }
  end_literal();
  return pieces;
}

std::string sample_of(const std::vector<Piece>& pieces, const std::string& filling) {
  std::string sample;
  for (const Piece& piece : pieces) sample += piece.is_placeholder ? filling : piece.text;
  return sample;
}

Body::Body(std::string_view text, Format format) : format_(format) {
  static_cast<void>(Template(text));  // says what is wrong, with its place in the whole
  const bool has_quotes = format == Format::json || format == Format::line_protocol;
  bool quoted = false, escaped = false;
  for (Piece& piece : pieces_of(text)) {
    if (piece.is_placeholder) {
      if (escaped)
        throw std::invalid_argument("a backslash before '" + piece.text +
                                    "' would undo what makes it safe");
      parts_.push_back({{}, Template(piece.text), quoted});
      continue;
    }
    for (const char c : piece.text) {
      if (has_quotes && c == '"' && !escaped) quoted = !quoted;
      escaped = has_quotes && c == '\\' && !escaped;
    }
    parts_.push_back({std::move(piece.text)});
  }
  if (quoted) throw std::invalid_argument("a '\"' without its end");
  if (format == Format::json) check_json();
}

// No filling can spoil what is JSON with these: null may stand next to nothing that would make
// another value of it.
void Body::check_json() const {
  std::string sample;
  for (const Part& part : parts_)
    sample += !part.placeholder ? part.literal : part.quoted ? "x" : "null";
  try {
    [[maybe_unused]] const auto json = nlohmann::json::parse(sample);
  } catch (const nlohmann::json::parse_error& error) {
    // Not the text: there may be a secret in it.
    throw std::invalid_argument("is no JSON: with each placeholder filled, from character " +
                                std::to_string(error.byte) + " on");
  }
}

std::optional<std::string> Body::fill(Source& source, std::string& problem) const {
  std::string filled;
  for (const Part& part : parts_) {
    if (!part.placeholder) {
      filled += part.literal;
      continue;
    }
    const auto text = fill(part, source, problem);
    if (!text) return std::nullopt;
    if (format_ == Format::line_protocol && filled.empty() && text->starts_with('#')) {
      problem = "the line would be a comment, as it would begin with '#'";
      return std::nullopt;
    }
    filled += *text;
  }
  return filled;
}

std::optional<std::string> Body::fill(const Part& part, Source& source,
                                      std::string& problem) const {
  auto text = part.placeholder->fill(source, escape_for(format_, part.quoted));
  if (format_ == Format::json && !part.quoted) {
    if (!text) {
      const auto value = part.placeholder->value(source);
      if (value && std::holds_alternative<std::nullptr_t>(*value)) text = "null";
    }
    if (text && !is_json(*text)) {
      problem = "what is to stand in the body outside of quotes is no JSON";
      return std::nullopt;
    }
  }
  // It would take the character behind it for its own.
  if (format_ == Format::line_protocol && !part.quoted && text && text->ends_with('\\')) {
    problem = "what the line protocol has no way to write: a backslash at an end";
    return std::nullopt;
  }
  if (!text) problem = source.missing();
  return text;
}

}  // namespace fastmqtt::webhook

#include "handlers/common/columns.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace fastmqtt::common {
namespace {

using Holds = ColumnType::Holds;

constexpr std::pair<const char*, const char*> kDefaults[] = {{"time", "{utc}"},
                                                             {"topic", "{topic}"},
                                                             {"payload", "{payload}"},
                                                             {"qos", "{qos}"},
                                                             {"retain", "{retain}"}};

// Of ASCII, as databases do it.
std::string in_lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

bool same_name(std::string_view a, std::string_view b, const Dialect& dialect) {
  return dialect.ignores_case ? in_lower_case(a) == in_lower_case(b) : a == b;
}

std::optional<std::int64_t> to_integer(const Value& value) {
  if (const auto* truth = std::get_if<bool>(&value)) return *truth ? 1 : 0;
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return *whole;
  if (const auto* text = std::get_if<std::string>(&value))
    return detail::OptionType<std::int64_t>::read(*text);
  const auto* number = std::get_if<double>(&value);
  constexpr double kBeyond = 9223372036854775808.0;  // 2^63
  if (!number || std::trunc(*number) != *number || *number < -kBeyond || *number >= kBeyond)
    return std::nullopt;
  return static_cast<std::int64_t>(*number);
}

std::optional<double> to_real(const Value& value) {
  if (const auto* truth = std::get_if<bool>(&value)) return *truth ? 1 : 0;
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return static_cast<double>(*whole);
  if (const auto* number = std::get_if<double>(&value)) return *number;
  const auto* text = std::get_if<std::string>(&value);
  return text ? detail::to_number(*text) : std::nullopt;
}

// Text stays text, so that it keeps all its digits.
std::optional<Cell> to_numeric(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value))
    return detail::to_number(*text) ? std::optional<Cell>(*text) : std::nullopt;
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return *whole;
  const auto real = to_real(value);
  return real ? std::optional<Cell>(*real) : std::nullopt;
}

std::optional<bool> to_boolean(const Value& value) {
  if (const auto* truth = std::get_if<bool>(&value)) return *truth;
  const std::string word = in_lower_case(to_text(value).value_or(""));
  if (word == "true" || word == "1" || word == "on" || word == "yes") return true;
  if (word == "false" || word == "0" || word == "off" || word == "no") return false;
  return std::nullopt;
}

template <class T>
std::optional<Cell> or_reason(const std::optional<T>& found, std::string& reason,
                              const std::string& otherwise) {
  if (found) return Cell(*found);
  reason = otherwise;
  return std::nullopt;
}

std::optional<Cell> to_integer_cell(const Value& value, const ColumnType& type,
                                    std::string& reason) {
  const auto whole = to_integer(value);
  if (whole && (*whole < type.least || *whole > type.most)) {
    reason = "the number does not fit in " + std::string(type.name);
    return std::nullopt;
  }
  return or_reason(whole, reason, "it is no whole number");
}

std::optional<Cell> to_text_cell(std::string text, bool loose, std::string& reason) {
  if (is_text(text)) return Cell(std::move(text));
  if (loose) return Cell(Blob{std::move(text)});
  reason = "it is no text: not UTF-8, or with a zero byte";
  return std::nullopt;
}

// As it is.
Cell to_any_cell(Value value) {
  if (auto* text = std::get_if<std::string>(&value))
    return is_text(*text) ? Cell(std::move(*text)) : Cell(Blob{std::move(*text)});
  if (const auto* truth = std::get_if<bool>(&value)) return *truth;
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return *whole;
  return std::get<double>(value);
}

}  // namespace

Columns::Columns(const Host& host, const Dialect& dialect)
    : handler_(host.name()), dialect_(dialect), missing_(host) {
  const std::int32_t kind = host.raw()->config_kind(host.raw(), "columns", nullptr);
  if (kind == FASTMQTT_ABSENT) {
    for (const auto& [name, text] : kDefaults) {
      Template value(text);
      const ColumnType& type = type_of(value);
      list_.push_back({name, std::move(value), &type, false});
    }
  } else if (kind != FASTMQTT_MAP) {
    throw OptionError("columns",
                      "expected names of columns, each with a template, such as "
                      "{time: '{utc}', room: '{topic.2}'}");
  }
  for (const std::string& name : host.members("columns")) list_.push_back(read(host, name));
  if (list_.empty()) throw OptionError("columns", "expected at least one column");

  upsert_ = host.list("upsert");
  const bool is_list = host.raw()->config_kind(host.raw(), "upsert", nullptr) == FASTMQTT_LIST;
  for (std::size_t i = 0; i < upsert_.size(); ++i) {
    const std::string path = is_list ? "upsert." + std::to_string(i) : "upsert";
    if (!has(upsert_[i])) throw OptionError(path, "'" + upsert_[i] + "' is none of the columns");
    for (std::size_t before = 0; before < i; ++before)
      if (same_name(upsert_[before], upsert_[i], dialect_))
        throw OptionError(path, "'" + upsert_[i] + "' stands there twice");
  }
}

Column Columns::read(const Host& host, const std::string& name) const {
  check_name("columns", name, dialect_);
  const std::string path = "columns." + name;
  if (find(name)) throw OptionError(path, "the column stands there twice");
  const std::int32_t kind = host.raw()->config_kind(host.raw(), path.c_str(), nullptr);
  if (kind != FASTMQTT_MAP && kind != FASTMQTT_SCALAR)
    throw OptionError(path, "expected a template, or {value: TEMPLATE, type: ...}");
  if (kind == FASTMQTT_SCALAR) {
    Template value = template_option(host, path, nullptr);
    const ColumnType& type = type_of(value);
    return {name, std::move(value), &type, false};
  }
  for (const std::string& member : host.members(path))
    if (member != "value" && member != "type" && member != "optional")
      throw OptionError(path + "." + member, "unknown: expected value, type or optional");
  Template value = template_option(host, path + ".value", nullptr);
  const ColumnType* type = &type_of(value);
  if (const std::string word = host.option(path + ".type", std::string(type->name));
      word != type->name) {
    const auto known = std::ranges::find(dialect_.types, word, &ColumnType::name);
    if (known == dialect_.types.end()) {
      std::string expected;
      for (const ColumnType& one : dialect_.types)
        expected += (expected.empty() ? "expected one of " : ", ") + std::string(one.name);
      throw OptionError(path + ".type", expected);
    }
    type = &*known;
  }
  const bool optional = host.option(path + ".optional", false);
  // Not every payload is JSON, though every message has one.
  const bool may_miss = !value.always_fills() || type->holds == Holds::json;
  if (optional && !may_miss)
    throw OptionError(path + ".optional", "has no effect: every message has a value for it");
  return {name, std::move(value), type, optional};
}

const ColumnType& Columns::type_of(const Template& value) const {
  const auto word = [&] {
    switch (value.holds()) {
      case Template::Holds::integer: return dialect_.integer;
      case Template::Holds::number: return dialect_.number;
      case Template::Holds::boolean: return dialect_.boolean;
      case Template::Holds::json: return dialect_.json;
      case Template::Holds::time: return dialect_.time;
      case Template::Holds::text: break;
    }
    return dialect_.text;
  }();
  return *std::ranges::find(dialect_.types, word, &ColumnType::name);
}

const Column* Columns::find(std::string_view name) const {
  const auto found = std::ranges::find_if(
      list_, [&](const Column& column) { return same_name(column.name, name, dialect_); });
  return found == list_.end() ? nullptr : &*found;
}

std::optional<Row> Columns::row(Source& source, std::string& reason) const {
  Row row;
  row.reserve(list_.size());
  for (const Column& column : list_) {
    auto found = cell(column, source, reason);
    if (!found) {
      reason = "column '" + column.name + "': " + reason;
      return std::nullopt;
    }
    row.push_back(std::move(*found));
  }
  return row;
}

std::optional<Cell> Columns::cell(const Column& column, Source& source, std::string& reason) const {
  const ColumnType& type = *column.type;
  auto value = type.holds == Holds::json ? column.value.json(source) : column.value.value(source);
  if (!value && column.optional) return Cell(nullptr);
  if (!value) {
    reason = source.missing();
    return std::nullopt;
  }
  if (std::holds_alternative<std::nullptr_t>(*value)) return Cell(nullptr);
  switch (type.holds) {
    case Holds::anything: return to_any_cell(std::move(*value));
    case Holds::boolean:
      return or_reason(to_boolean(*value), reason, "it is neither true nor false");
    case Holds::integer: return to_integer_cell(*value, type, reason);
    case Holds::real: return or_reason(to_real(*value), reason, "it is no number");
    case Holds::numeric: return or_reason(to_numeric(*value), reason, "it is no number");
    case Holds::blob: return Cell(Blob{to_text(*value).value_or("")});
    case Holds::json:
    case Holds::text: break;
  }
  return to_text_cell(to_text(*value).value_or(""), dialect_.has_loose_text, reason);
}

std::map<std::size_t, Row> Columns::rows(const Host& host, Batch& batch) const {
  std::map<std::size_t, Row> rows;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    Source source(batch[i], handler_);
    std::string reason;
    if (auto one = row(source, reason))
      rows.emplace_hint(rows.end(), i, std::move(*one));
    else if (!missing_.skips(source))
      reject(host, batch, i, reason);
  }
  return rows;
}

void reject(const Host& host, Batch& batch, std::size_t i, const std::string& why) {
  host.log(Level::error, why, batch[i]);
  batch.answer(i, Result::reject);
}

std::string Columns::create_table(const std::string& table) const {
  std::string sql;
  for (const Column& column : list_) {
    sql +=
        (sql.empty() ? "CREATE TABLE IF NOT EXISTS " + table + " (" : ", ") + quoted(column.name);
    if (!column.type->declared.empty()) sql += " " + std::string(column.type->declared);
  }
  if (!upsert_.empty()) sql += ", UNIQUE (" + names_of(upsert_) + ")";
  return sql + ")";
}

std::string Columns::insert_into(const std::string& table) const {
  std::vector<std::string> names;
  std::string parameters, updates;
  for (const Column& column : list_) {
    names.push_back(column.name);
    parameters += (parameters.empty() ? "$" : ", $") + std::to_string(names.size());
    const bool is_key = std::ranges::any_of(
        upsert_, [&](const std::string& key) { return same_name(key, column.name, dialect_); });
    if (!is_key)
      updates += (updates.empty() ? "" : ", ") + quoted(column.name) + " = excluded." +
                 quoted(column.name);
  }
  std::string sql =
      "INSERT INTO " + table + " (" + names_of(names) + ") VALUES (" + parameters + ")";
  if (!upsert_.empty())
    sql += " ON CONFLICT (" + names_of(upsert_) + ") DO " +
           (updates.empty() ? "NOTHING" : "UPDATE SET " + updates);
  return sql;
}

std::string Columns::no_unique_index(const std::string& index, const std::string& table) const {
  return "the table " + table +
         " that is there has no unique index on the columns of `upsert`: CREATE UNIQUE INDEX " +
         (index.empty() ? "" : quoted(index) + " ") + "ON " + table + " (" + names_of(upsert_) +
         ")";
}

std::string Columns::names_of(const std::vector<std::string>& names) const {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + quoted(name);
  return all;
}

std::string quoted(std::string_view name) {
  std::string text = "\"";
  for (const char c : name) text += c == '"' ? "\"\"" : std::string(1, c);
  return text + '"';
}

void check_name(const std::string& path, const std::string& name, const Dialect& dialect) {
  if (name.empty() || !is_text(name))
    throw OptionError(path, "expected a name that is not empty, in UTF-8");
  if (name.find('.') != std::string::npos)
    throw OptionError(path, "'" + name + "': expected a name without dots");
  if (name.size() > dialect.longest_name)
    throw OptionError(path, "'" + name + "': expected a name of at most " +
                                std::to_string(dialect.longest_name) + " bytes");
}

bool is_text(std::string_view bytes) {
  std::size_t i = 0;
  while (i < bytes.size()) {
    const auto lead = static_cast<unsigned char>(bytes[i]);
    const std::size_t tail = lead < 0x80 ? 0 : lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead == 0 || (lead >= 0x80 && lead < 0xC2) || lead > 0xF4 || bytes.size() - i <= tail)
      return false;
    unsigned code = tail == 0 ? lead : lead & (0x3Fu >> tail);
    for (std::size_t k = 1; k <= tail; ++k) {
      const auto next = static_cast<unsigned char>(bytes[i + k]);
      if ((next & 0xC0) != 0x80) return false;
      code = code << 6 | (next & 0x3Fu);
    }
    constexpr unsigned kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (code < kLeast[tail] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return false;
    i += tail + 1;
  }
  return true;
}

}  // namespace fastmqtt::common

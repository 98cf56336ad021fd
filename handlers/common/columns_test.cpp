#include "handlers/common/columns.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fastmqtt/testing.hpp"
#include "handlers/common/outage.hpp"

namespace fastmqtt::common {
namespace {

using ::fastmqtt::testing::HandlerTester;
using ::fastmqtt::testing::Option;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr ColumnType kTypes[] = {{"anything", ColumnType::Holds::anything, ""},
                                 {"boolean", ColumnType::Holds::boolean},
                                 {"small", ColumnType::Holds::integer, "SMALLINT", -9, 9},
                                 {"integer", ColumnType::Holds::integer},
                                 {"real", ColumnType::Holds::real},
                                 {"numeric", ColumnType::Holds::numeric},
                                 {"text", ColumnType::Holds::text},
                                 {"blob", ColumnType::Holds::blob},
                                 {"json", ColumnType::Holds::json}};

std::string shown(const Cell& cell) {
  struct Show {
    std::string operator()(std::nullptr_t) const { return "NULL"; }
    std::string operator()(bool truth) const { return truth ? "bool true" : "bool false"; }
    std::string operator()(std::int64_t whole) const { return "int " + std::to_string(whole); }
    std::string operator()(double number) const { return "real " + *to_text(Value(number)); }
    std::string operator()(const std::string& text) const { return "text " + text; }
    std::string operator()(const Blob& blob) const { return "blob " + blob.bytes; }
  };
  return std::visit(Show{}, cell);
}

// Logs what becomes of each message.
class Probe {
 public:
  explicit Probe(Host host)
      : host_(host),
        columns_(host, {.types = kTypes,
                        .text = "text",
                        .integer = "integer",
                        .number = "numeric",
                        .boolean = "boolean",
                        .json = "anything",
                        .time = "text",
                        .longest_name = 20,
                        .ignores_case = true,
                        .has_loose_text = host.option("loose", false)}) {
    host.log(Level::info, columns_.create_table("t"));
    host.log(Level::info, columns_.insert_into("t"));
  }
  void on_messages(Batch batch) {
    for (const auto& [i, row] : columns_.rows(host_, batch)) {
      std::string all;
      for (const Cell& cell : row) all += (all.empty() ? "" : "; ") + shown(cell);
      host_.log(Level::info, all);
    }
  }

 private:
  const Host host_;
  const Columns columns_;
};
constexpr const char* const kNoTopics[] = {nullptr};
constexpr fastmqtt_handler kProbe = detail::describe<Probe>("probe", "1", 0, kNoTopics);

struct Tester : HandlerTester {
  Tester(std::initializer_list<Option> options) : HandlerTester(options, "", kProbe) {}
  std::string row(const std::string& payload) {
    deliver("site/7", payload);
    return last_log();
  }
};

std::string cell(const std::string& type, const std::string& payload) {
  Tester tester({{"columns.c.value", "{payload}"}, {"columns.c.type", type}});
  return tester.row(payload);
}

std::string json_cell(const std::string& type, const std::string& payload) {
  Tester tester({{"columns.c.value", "{json:}"}, {"columns.c.type", type}});
  return tester.row(payload);
}

std::string refusal(std::initializer_list<Option> options) {
  try {
    Tester tester(options);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "none";
}

TEST(Columns, WriteSql) {
  const Tester plain({{"columns.a \"b\"", "{topic}"}, {"columns.c", "{json:/c}"}});
  EXPECT_THAT(plain.logs(), ElementsAre(R"(CREATE TABLE IF NOT EXISTS t ("a ""b""" text, "c"))",
                                        R"(INSERT INTO t ("a ""b""", "c") VALUES ($1, $2))"));
  const Tester upsert({{"columns.Key", "{topic}"},
                       {"columns.value", "{number}"},
                       {"columns.at", "{time.ms}"},
                       {"upsert.0", "key"}});
  EXPECT_THAT(upsert.logs().front(),
              HasSubstr(R"("value" numeric, "at" integer, UNIQUE ("key")))"));
  EXPECT_THAT(upsert.logs().back(),
              HasSubstr(R"(ON CONFLICT ("key") DO UPDATE SET "value" = excluded."value", )"
                        R"("at" = excluded."at")"));
  const Tester once({{"columns.id", "{message_id}"}, {"upsert", "id"}});
  EXPECT_THAT(once.logs().back(), HasSubstr(R"(ON CONFLICT ("id") DO NOTHING)"));
  const Tester all({});
  EXPECT_THAT(all.logs().back(), HasSubstr(R"(("time", "topic", "payload", "qos", "retain"))"));
}

TEST(Columns, ConvertHonestlyOrNotAtAll) {
  EXPECT_EQ(cell("integer", "7"), "int 7");
  EXPECT_EQ(cell("integer", "7.5"), "column 'c': it is no whole number");
  EXPECT_EQ(cell("integer", ""), "column 'c': it is no whole number");
  EXPECT_EQ(json_cell("integer", "7.0"), "int 7");
  EXPECT_EQ(json_cell("integer", "1e300"), "column 'c': it is no whole number");
  EXPECT_EQ(json_cell("integer", "18446744073709551615"), "column 'c': it is no whole number");
  EXPECT_EQ(json_cell("integer", "true"), "int 1");
  EXPECT_EQ(cell("small", "-10"), "column 'c': the number does not fit in small");
  EXPECT_EQ(cell("real", "7"), "real 7.0");
  EXPECT_EQ(cell("real", "warm"), "column 'c': it is no number");
  EXPECT_EQ(cell("numeric", "0.12345678901234567890"), "text 0.12345678901234567890");
  EXPECT_EQ(cell("numeric", "nan"), "column 'c': it is no number");
  EXPECT_EQ(json_cell("numeric", "9007199254740993"), "int 9007199254740993");
  EXPECT_EQ(cell("boolean", "ON"), "bool true");
  EXPECT_EQ(json_cell("boolean", "0"), "bool false");
  EXPECT_EQ(cell("boolean", "maybe"), "column 'c': it is neither true nor false");
  EXPECT_EQ(json_cell("text", R"({"b": 1})"), R"(text {"b":1})");
  EXPECT_EQ(json_cell("text", "null"), "NULL");
  EXPECT_EQ(cell("text", "\xff"), "column 'c': it is no text: not UTF-8, or with a zero byte");
  EXPECT_EQ(cell("text", std::string("a\0b", 3)),
            "column 'c': it is no text: not UTF-8, or with a zero byte");
  EXPECT_EQ(cell("blob", "\xff"), "blob \xff");
  EXPECT_EQ(json_cell("json", R"("a")"), R"(text "a")");
  EXPECT_EQ(cell("json", R"({"a": 1.50})"), R"(text {"a": 1.50})");
  EXPECT_EQ(cell("json", "warm"), "column 'c': the payload is no JSON");
  EXPECT_EQ(json_cell("anything", "7"), "int 7");
  EXPECT_EQ(json_cell("anything", "7.5"), "real 7.5");
  EXPECT_EQ(json_cell("anything", R"("7")"), "text 7");
  EXPECT_EQ(json_cell("anything", "false"), "bool false");
  EXPECT_EQ(json_cell("anything", "[1]"), "text [1]");
  Tester loose({{"columns.c", "{payload}"}, {"loose", "true"}});
  EXPECT_EQ(loose.row("\xff"), "blob \xff");
}

TEST(Columns, AreLeftOutWhereTheySaySo) {
  Tester tester({{"columns.a", "{topic.1}"},
                 {"columns.b.value", "{json:/b}"},
                 {"columns.b.optional", "true"}});
  EXPECT_EQ(tester.row(R"({"b": 1})"), "text site; int 1");
  EXPECT_EQ(tester.row("{}"), "text site; NULL");
  EXPECT_EQ(tester.row("warm"), "text site; NULL");
  Tester strict({{"columns.b", "{json:/b}"}});
  EXPECT_EQ(strict.row("{}"), "column 'b': the payload has no /b");
}

TEST(Columns, SkipWhatHasNoSuchRow) {
  Tester tester({{"columns.a.value", "{json:/a}"},
                 {"columns.a.optional", "true"},
                 {"columns.b.value", "{json:/b}"},
                 {"columns.b.type", "integer"},
                 {"missing", "skip"}});
  const std::size_t logged = tester.logs().size();
  EXPECT_THAT(tester.deliver_batch({{"t", R"({"a": 1})"}, {"t", "online"}, {"t", R"({"b": 7})"}}),
              ElementsAre(Result::ok, Result::ok, Result::ok));
  EXPECT_EQ(tester.logs().size(), logged + 1) << "the row";
  EXPECT_EQ(tester.last_log(), "NULL; int 7");
  EXPECT_EQ(tester.counts().at("skipped"), 2u);
  EXPECT_EQ(tester.deliver("t", R"({"b": "warm"})"), Result::reject) << "it is there, and bad";
  EXPECT_EQ(tester.last_log(), "column 'b': it is no whole number");
  EXPECT_EQ(tester.counts().at("skipped"), 2u);
  EXPECT_THAT(refusal({{"missing", "ignore"}}), HasSubstr("missing: expected one of reject, skip"));
}

TEST(Columns, NameMistakes) {
  EXPECT_THAT(
      refusal({{"columns", "x"}}),
      HasSubstr("columns: expected names of columns, each with a template, such as {time:"));
  EXPECT_THAT(refusal({{"columns.a", "{x}"}}), HasSubstr("columns.a: at character 1"));
  EXPECT_THAT(refusal({{"columns.a.type", "text"}}), HasSubstr("columns.a.value: "));
  EXPECT_THAT(refusal({{"columns.a.value", "x"}, {"columns.a.type", "txt"}}),
              HasSubstr("columns.a.type: expected one of anything, boolean, small"));
  EXPECT_THAT(refusal({{"columns.a.value", "x"}, {"columns.a.typ", "text"}}),
              HasSubstr("columns.a.typ: unknown: expected value, type or optional"));
  EXPECT_THAT(refusal({{"columns.a.value", "{topic}"}, {"columns.a.optional", "true"}}),
              HasSubstr("columns.a.optional: has no effect"));
  EXPECT_THAT(refusal({{"columns.a", "x"}, {"columns.A", "y"}}),
              HasSubstr("columns.A: the column stands there twice"));
  EXPECT_THAT(refusal({{"columns.abcdefghijklmnopqrstu", "x"}}), HasSubstr("at most 20 bytes"));
  EXPECT_THAT(refusal({{"upsert", "b"}}), HasSubstr("upsert: 'b' is none of the columns"));
  EXPECT_THAT(refusal({{"upsert.0", "b"}}), HasSubstr("upsert.0: 'b' is none of the columns"));
  EXPECT_THAT(refusal({{"upsert.0", "qos"}, {"upsert.1", "QoS"}}),
              HasSubstr("upsert.1: 'QoS' stands there twice"));
}

TEST(Columns, KnowText) {
  for (const char* text : {"", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\n"})
    EXPECT_TRUE(is_text(text)) << text;
  for (const char* bytes : {"\xff", "\x80", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                            "\xf4\x90\x80\x80", "\xf0\x9f\x98", "a\xe2\x82"})
    EXPECT_FALSE(is_text(bytes)) << bytes;
  EXPECT_FALSE(is_text(std::string_view("\0", 1)));
}

TEST(Outage, IsToldOnce) {
  struct Tale {
    explicit Tale(Host host) {
      Outage outage(host);
      outage.end("never began");
      for (int i = 0; i < 3; ++i) outage.begin("down", "down " + std::to_string(i));
      outage.begin("worse", "worse");
      for (int i = 0; i < 3; ++i) outage.end("up");
    }
    Result on_message(const Message&) { return Result::ok; }
  };
  static constexpr fastmqtt_handler kTale = detail::describe<Tale>("tale", "1", 0, kNoTopics);
  const HandlerTester told({}, "", kTale);
  EXPECT_THAT(told.logs(), ElementsAre("down 0", "worse", "up"));
}

}  // namespace
}  // namespace fastmqtt::common

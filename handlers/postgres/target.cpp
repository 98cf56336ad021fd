#include "handlers/postgres/target.hpp"

#include <arpa/inet.h>
#include <libpq-fe.h>

#include <array>
#include <memory>
#include <string_view>

namespace fastmqtt::postgres {
namespace {

using std::chrono::seconds;

constexpr seconds kConnectTimeout{10};  // unless the connection string says another one
constexpr seconds kLongestConnect{60};

// Without what stands in quotes there, which may be a part of the password.
std::string without_quotes(const std::string& text) {
  std::string kept;
  bool quoted = false;
  for (const char c : text) {
    if (c == '"') {
      quoted = !quoted;
      kept += quoted ? "\"..." : "\"";
    } else if (!quoted && c != '\n') {
      kept += c;
    }
  }
  return kept;
}

// A password with an '@' or a '/' in it splits a URL in the wrong places, and a part of it would
// turn up in messages about a host of that name.
void check_split(std::string_view keyword, std::string_view value) {
  const bool is_wrong = (keyword == "host" && value.find('@', 1) != value.npos) ||
                        (keyword == "dbname" && value.find('@') != value.npos) ||
                        (keyword == "port" && value.find_first_not_of("0123456789,") != value.npos);
  if (is_wrong)
    throw OptionError("connection", std::string(keyword) +
                                        ": expected another one: if the password has characters "
                                        "such as @ or /, write them as %40 or %2F in a URL");
}

// Of "db1,/run/postgresql,10.0.0.1" the first only.
std::vector<std::string> names_of(std::string_view hosts) {
  std::vector<std::string> names;
  for (std::size_t end = 0; end != hosts.npos;
       hosts.remove_prefix(end == hosts.npos ? 0 : end + 1)) {
    end = hosts.find(',');
    const std::string host(hosts.substr(0, end));
    std::array<unsigned char, sizeof(in6_addr)> address;
    const bool is_address = ::inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
                            ::inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
    if (!host.empty() && host[0] != '/' && host[0] != '@' && !is_address) names.push_back(host);
  }
  return names;
}

}  // namespace

// What the connection string says of connect_timeout is for us to keep: libpq does so only when it
// waits itself.
Target target_option(const Host& host) {
  Target target{host.required<std::string>("connection"), kConnectTimeout, {}};
  if (target.text.empty() || target.text.find('\0') != std::string::npos)
    throw OptionError("connection",
                      "expected a connection string of libpq, such as "
                      "'host=db dbname=site user=mqtt', or a URL");
  char* error = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&::PQconninfoFree)> parsed(
      ::PQconninfoParse(target.text.c_str(), &error), &::PQconninfoFree);
  const std::string what = error ? error : "";
  ::PQfreemem(error);
  if (!parsed)
    throw OptionError("connection", "it is no connection string of libpq: " + without_quotes(what));
  bool has_addresses = false;
  for (const PQconninfoOption* option = parsed.get(); option->keyword; ++option) {
    if (!option->val) continue;
    const std::string_view keyword = option->keyword;
    check_split(keyword, option->val);
    if (keyword == "host") target.names = names_of(option->val);
    if (keyword == "hostaddr") has_addresses = true;
    if (keyword != "connect_timeout") continue;
    const auto given = detail::OptionType<int>::read(option->val);
    if (!given || *given < 1 || seconds(*given) > kLongestConnect)
      throw OptionError("connection", "connect_timeout: expected seconds from 1 to 60");
    target.timeout = seconds(*given);
  }
  if (has_addresses) target.names.clear();
  return target;
}

}  // namespace fastmqtt::postgres

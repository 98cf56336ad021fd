#include "handlers/postgres/target.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "handlers/common/fd.hpp"

namespace fastmqtt::postgres {
namespace {

using std::chrono::seconds;

constexpr seconds kConnectTimeout{10};  // unless the connection string says another one
constexpr seconds kLongestConnect{60};

[[noreturn]] void refuse(const std::string& why) { throw std::runtime_error("connection: " + why); }

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

// The keyword that libpq does not know, as it stands in its message; "" when that is about anything
// else, or when it may be a part of the password: "password=one sec=ret".
std::string unknown_keyword(std::string_view message, const std::string& connection) {
  constexpr std::string_view kBefore = "invalid connection option \"";
  if (!message.starts_with(kBefore)) return "";
  message.remove_prefix(kBefore.size());
  const std::string word(message.substr(0, message.find('"')));
  const bool is_keyword =
      !word.empty() && word.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string::npos;
  const std::string words = " " + connection;
  return is_keyword && words.find(" " + word) <= words.find("password") ? word : "";
}

[[noreturn]] void refuse_string(const std::string& message, const std::string& connection,
                                bool is_url) {
  const std::string begin = "it is no connection string of libpq: ";
  if (const std::string word = unknown_keyword(message, connection); !word.empty())
    refuse(begin + "it does not know '" + word +
           "': expected host, port, dbname, user, password ...");
  const bool may_need_quotes = !is_url && connection.find("password") != std::string::npos;
  refuse(begin + without_quotes(message) +
         (may_need_quotes ? ": a password with spaces is written as password='...'" : ""));
}

// A password with an '@' or a '/' in it splits a URL in the wrong places, and a part of it would
// turn up in messages about a host of that name.
void check_split(std::string_view keyword, std::string_view value, bool is_url) {
  const bool is_bad_port =
      keyword == "port" && value.find_first_not_of("0123456789,") != value.npos;
  const bool is_wrong = (keyword == "host" && value.find('@', 1) != value.npos) ||
                        (keyword == "dbname" && value.find('@') != value.npos) || is_bad_port;
  if (is_url && is_wrong)
    refuse(std::string(keyword) + ": expected " + (is_bad_port ? "a number" : "one without @") +
           ": if the password has characters such as @ or /, write them as %40 or %2F in a URL");
  if (is_bad_port) refuse("port: expected a number, such as 5432");
}

// Libpq passes over one that it does not like, and says so to standard error at most.
void check_password_file(const std::string& file) {
  const common::Fd fd(::open(file.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  struct stat status = {};
  if (!fd || ::fstat(fd.get(), &status) != 0)
    refuse("passfile: " + file + ": " + std::generic_category().message(errno) +
           ": expected a file that the daemon's user can read");
  if (!S_ISREG(status.st_mode)) refuse("passfile: " + file + ": it is no regular file");
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    refuse("passfile: " + file +
           ": others have access to it, so libpq does not use it: expected the mode 0600, and the "
           "daemon's user as its owner");
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
  const bool is_url =
      target.text.starts_with("postgresql://") || target.text.starts_with("postgres://");
  char* error = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&::PQconninfoFree)> parsed(
      ::PQconninfoParse(target.text.c_str(), &error), &::PQconninfoFree);
  const std::string what = error ? error : "";
  ::PQfreemem(error);
  if (!parsed) refuse_string(what, target.text, is_url);
  bool has_addresses = false;
  for (const PQconninfoOption* option = parsed.get(); option->keyword; ++option) {
    if (!option->val) continue;
    const std::string_view keyword = option->keyword;
    check_split(keyword, option->val, is_url);
    if (keyword == "passfile" && *option->val != '\0') check_password_file(option->val);
    if (keyword == "host") target.names = names_of(option->val);
    if (keyword == "hostaddr") has_addresses = true;
    if (keyword != "connect_timeout") continue;
    const auto given = detail::OptionType<int>::read(option->val);
    if (!given || *given < 1 || seconds(*given) > kLongestConnect)
      refuse("connect_timeout: expected seconds from 1 to 60");
    target.timeout = seconds(*given);
  }
  if (has_addresses) target.names.clear();
  return target;
}

}  // namespace fastmqtt::postgres

#include "daemon/operate/control_server.hpp"

#include <charconv>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "daemon/base/log.hpp"
#include "daemon/config/words.hpp"

namespace fastmqttd {
namespace {

constexpr std::size_t kDefaultPage = 100;

std::optional<std::int64_t> number(const HttpRequest& request, const char* name) {
  const auto text = request.parameter(name);
  if (!text) return std::nullopt;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || value < 0)
    throw Refusal(400, std::string(name) + ": '" + printable(*text) +
                           "' will not do: give a whole number from 0 on");
  return value;
}

// What was asked for, for the journal: "handler archive, level debug"; ids are numbers.
std::string in_words(const Json& wanted) {
  std::string words;
  for (const auto& [key, value] : wanted.items()) {
    if (key == "after" || key == "until") continue;  // of the next page
    words += (words.empty() ? "" : ", ") + key + " " +
             (value.is_string() ? value.get<std::string>() : value.dump());
  }
  return words;
}

HttpAnswer answer(const Json& json) {
  return {json.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

// In a user namespace of its own, as the unit has it, the daemon knows root and itself; all others
// have the number that user_namespaces(7) calls the overflow user ID.
std::string who(const HttpRequest& request) {
  return request.peer == "65534" ? "a user other than root" : "user " + request.peer;
}

// Changes something: whoever reads the journal should know who did.
HttpServer::Handler post(Control& control, Json (Control::*act)(const Json&)) {
  return [&control, act](const HttpRequest& request) {
    const Json wanted = Json::parse(request.body);
    const Json done = (control.*act)(wanted);
    log::info("fastmqttctl, by {}: {}: {}", who(request), printable(request.path.substr(4)),
              printable(in_words(wanted)));
    return answer(done);
  };
}

HttpServer::Routes routes(Control& control) {
  return {
      {{"GET", "/v1/status"}, [&](const auto&) { return answer(control.status()); }},
      {{"GET", "/v1/handlers"}, [&](const auto&) { return answer(control.handlers()); }},
      {{"GET", "/v1/route"},
       [&](const auto& request) {
         return answer(control.route(request.parameter("topic").value_or("")));
       }},
      {{"GET", "/v1/deliveries"},
       [&](const auto& request) {
         return answer(control.deliveries(number(request, "after"), request.parameter("filter")));
       }},
      {{"GET", "/v1/dead-letters"},
       [&](const auto& request) {
         const auto limit = number(request, "limit").value_or(kDefaultPage);
         return answer(control.dead_letters(number(request, "after").value_or(0),
                                            static_cast<std::size_t>(limit),
                                            request.parameter("handler")));
       }},
      {{"GET", "/v1/dead-letter"},
       [&](const auto& request) {
         return answer(control.dead_letter(number(request, "id").value_or(0)));
       }},
      {{"POST", "/v1/reload"},
       [&](const auto& request) {
         log::info("fastmqttctl, by {}: reload", who(request));
         return answer(control.reload());
       }},
      {{"POST", "/v1/dead-letters/replay"}, post(control, &Control::replay)},
      {{"POST", "/v1/dead-letters/drop"}, post(control, &Control::drop)},
      {{"POST", "/v1/forget"}, post(control, &Control::forget)},
      {{"POST", "/v1/pause"}, post(control, &Control::pause)},
      {{"POST", "/v1/resume"}, post(control, &Control::resume)},
      {{"POST", "/v1/log-level"}, post(control, &Control::log_level)},
  };
}

}  // namespace

ControlServer::ControlServer(std::unique_ptr<ControlSocket> socket, Control& control)
    : socket_(std::move(socket)),
      server_(socket_->fd(), routes(control),
              {.name = "control socket",
               .unknown = "the daemon does not know this request: use the fastmqttctl that came "
                          "with it"}) {}

}  // namespace fastmqttd

#include "handlers/webhook/request.hpp"

#include <algorithm>
#include <stdexcept>

namespace fastmqtt::webhook {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMostShown = 300;        // bytes of an answer's body, in the log
constexpr std::size_t kMostReceived = 65'536;  // of it; a connection with more to come is given up

// The rest of a URL may hold a secret.
std::string server_of(const std::string& url) {
  const std::size_t name = url.find("://");
  return url.substr(0, name == std::string::npos ? 0 : url.find_first_of("/?#", name + 3));
}

}  // namespace

Library::Library() {
  // Other plugins of this process may be at it too.
  if ((curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_THREADSAFE) == 0)
    throw std::runtime_error(
        "this libcurl cannot be used by several threads: it was built without "
        "thread-safe initialisation");
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    throw std::runtime_error("libcurl does not start");
}

std::string printable(std::string_view text) {
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool space = byte <= ' ';
    if (space && (shown.empty() || shown.back() == ' ')) continue;
    shown += space ? ' ' : byte < 0x7F ? c : '?';
  }
  return shown;
}

template <class T>
void Request::set(CURLoption option, T value) {
  const CURLcode code = curl_easy_setopt(handle_.get(), option, value);
  if (code != CURLE_OK)
    throw std::runtime_error(std::string("this libcurl cannot do what is asked for: option ") +
                             curl_easy_option_by_id(option)->name + ": " +
                             curl_easy_strerror(code));
}

Request::Request(const Options& options)
    : options_(options),
      handle_(curl_easy_init(), curl_easy_cleanup),
      headers_(nullptr, curl_slist_free_all) {
  if (!handle_) throw std::runtime_error("libcurl has no memory");
  set(CURLOPT_PRIVATE, static_cast<void*>(this));
  set(CURLOPT_ERRORBUFFER, error_.data());
  const curl_write_callback on_body = [](char* data, std::size_t size, std::size_t count,
                                         void* self) {
    return static_cast<Request*>(self)->receive({data, size * count});
  };
  set(CURLOPT_WRITEFUNCTION, on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  set_method();
  set_connection();
  if (options_.server.starts_with("https:")) set_tls();
}

void Request::set_method() {
  if (options_.has_body)
    set(CURLOPT_POST, 1L);
  else
    set(CURLOPT_HTTPGET, 1L);
  if (options_.method != "POST" && options_.method != "GET")
    set(CURLOPT_CUSTOMREQUEST, options_.method.c_str());
  set(CURLOPT_USERAGENT, "fastmqttd-webhook");
  set(CURLOPT_FOLLOWLOCATION, options_.redirects > 0 ? 1L : 0L);
  set(CURLOPT_MAXREDIRS, options_.redirects);
  // Without these a message would arrive without its body.
  set(CURLOPT_POSTREDIR, static_cast<long>(CURL_REDIR_POST_ALL));
  if (options_.user.empty()) return;
  set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BASIC));
  set(CURLOPT_USERNAME, options_.user.c_str());
  set(CURLOPT_PASSWORD, options_.password.c_str());
}

void Request::set_connection() {
  set(CURLOPT_NOSIGNAL, 1L);
  // The answer to a name that is looked up may take long: neither the thread nor the destructor
  // waits for it.
  set(CURLOPT_QUICK_EXIT, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, options_.server.starts_with("https:") ? "https" : "http,https");
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_PROXY, options_.proxy.c_str());  // "": none, whatever the environment says
}

void Request::set_tls() {
  const Tls& tls = options_.tls;
  set(CURLOPT_PIPEWAIT, 1L);  // for a connection that may turn out to be HTTP/2
  set(CURLOPT_SSLVERSION, tls.min_version);
  set(CURLOPT_SSL_VERIFYPEER, tls.verify ? 1L : 0L);
  set(CURLOPT_SSL_VERIFYHOST, tls.verify ? 2L : 0L);
  if (!tls.ca_file.empty()) {
    set(CURLOPT_CAINFO, tls.ca_file.c_str());
    set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));  // not the system's besides
    set(CURLOPT_CA_CACHE_TIMEOUT, 0L);  // read again at each connection, as the others
  }
  if (tls.cert_file.empty()) return;
  set(CURLOPT_SSLCERT, tls.cert_file.c_str());
  set(CURLOPT_SSLKEY, tls.key_file.empty() ? tls.cert_file.c_str() : tls.key_file.c_str());
  // Not even an empty one is asked for on a terminal.
  set(CURLOPT_KEYPASSWD, tls.key_password.c_str());
}

Request* Request::of(CURL* handle) {
  char* self = nullptr;
  curl_easy_getinfo(handle, CURLINFO_PRIVATE, &self);
  return static_cast<Request*>(static_cast<void*>(self));
}

std::string Request::body_of(const Jobs& jobs) const {
  const std::string separator = options_.batch.separator.value_or(",");
  std::string all = options_.batch.separator ? "" : "[";
  for (const Job& job : jobs) {
    if (&job != &jobs.front()) all += separator;
    all += job.body;
  }
  if (!options_.batch.separator) all += "]";
  return all;
}

bool Request::load(Jobs jobs, Clock::time_point now) {
  jobs_ = std::move(jobs);
  received_.clear();
  received_bytes_ = 0;
  error_[0] = '\0';
  CURL* const handle = handle_.get();
  const Job& first = jobs_.front();
  curl_slist* list = nullptr;
  const auto add = [&](const char* line) {
    curl_slist* longer = curl_slist_append(list, line);
    list = longer ? longer : list;
    return longer != nullptr;
  };
  bool good = add("Expect:");  // it would wait a second for servers that do not know it
  if (std::ranges::none_of(
          first.headers, [](const std::string& line) { return line.starts_with("Content-Type"); }))
    good = add("Content-Type:") && good;  // not that of a form
  for (const std::string& line : first.headers) good = add(line.c_str()) && good;
  headers_.reset(list);
  good = good && curl_easy_setopt(handle, CURLOPT_HTTPHEADER, list) == CURLE_OK &&
         curl_easy_setopt(handle, CURLOPT_URL, first.url.c_str()) == CURLE_OK;
  if (options_.has_body) {
    if (options_.batch.size > 1) body_ = body_of(jobs_);
    const std::string& body = options_.batch.size > 1 ? body_ : first.body;
    good = good &&
           curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE,
                            static_cast<curl_off_t>(body.size())) == CURLE_OK &&
           curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body.data()) == CURLE_OK;
  }
  auto left = std::chrono::duration_cast<milliseconds>(
      std::ranges::min_element(jobs_, {}, &Job::deadline)->deadline - now);
  left = std::clamp(left, milliseconds(1), options_.timeout);
  return good &&
         curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(left.count())) == CURLE_OK;
}

Jobs Request::take_jobs() {
  body_ = {};
  return std::exchange(jobs_, {});
}

std::size_t Request::receive(std::string_view bytes) {
  received_.append(bytes.substr(0, kMostShown - std::min(kMostShown, received_.size())));
  received_bytes_ += bytes.size();
  return received_bytes_ > kMostReceived ? 0 : bytes.size();
}

Result Request::result_of(int status) const {
  if (const auto known = options_.status.find(status); known != options_.status.end())
    return known->second;
  if (status / 100 == 2) return Result::ok;
  const bool for_now = status == 408 || status == 425 || status == 429 || status / 100 == 5;
  return for_now ? Result::retry : Result::reject;
}

std::string Request::text_of(int status) const {
  std::string text = "HTTP " + std::to_string(status);
  char* elsewhere = nullptr;
  curl_easy_getinfo(handle_.get(), CURLINFO_REDIRECT_URL, &elsewhere);
  if (elsewhere) text += ", which points to " + server_of(printable(elsewhere));
  const std::string body = printable(received_);
  if (!body.empty()) text += ": " + body;
  if (received_bytes_ > received_.size()) text += "...";
  return text;
}

Outcome Request::outcome(CURLcode code) const {
  long status = 0;
  curl_easy_getinfo(handle_.get(), CURLINFO_RESPONSE_CODE, &status);
  const bool cut = code == CURLE_WRITE_ERROR && received_bytes_ > kMostReceived;
  if (status == 0 || (code != CURLE_OK && !cut)) {
    const bool elsewhere = code == CURLE_TOO_MANY_REDIRECTS || code == CURLE_URL_MALFORMAT ||
                           (code == CURLE_UNSUPPORTED_PROTOCOL && status / 100 == 3);
    return {.result = elsewhere ? Result::reject : Result::retry,
            .text = options_.server + ": " +
                    printable(error_[0] != '\0' ? error_.data() : curl_easy_strerror(code))};
  }
  curl_off_t after = 0;
  curl_easy_getinfo(handle_.get(), CURLINFO_RETRY_AFTER, &after);
  return {.result = result_of(static_cast<int>(status)),
          .status = static_cast<int>(status),
          .text = text_of(static_cast<int>(status)),
          .retry_after = std::chrono::seconds(std::max<curl_off_t>(after, 0))};
}

}  // namespace fastmqtt::webhook

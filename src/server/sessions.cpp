#include "server/sessions.h"

#include "base/hash.h"

namespace prax::server {
namespace {

constexpr std::chrono::hours life{30 * 24};
constexpr size_t secret_bytes = 32;

std::string hash_of(std::string_view secret) { return hex(sha256(secret)); }

//! The host of an origin: "http://localhost:5173" -> "localhost:5173".
std::string_view host_of(std::string_view origin) {
  const size_t slashes = origin.find("://");
  return slashes == std::string_view::npos ? std::string_view{} : origin.substr(slashes + 3);
}

}  // namespace

void Sessions::allow_start_token() {
  store_.studio_key("system");
  start_token_ = random_hex(secret_bytes);
}

bool Sessions::is_start_token(std::string_view token) const {
  return !start_token_.empty() && equal_in_constant_time(hash_of(token), hash_of(start_token_));
}

Sessions::Opened Sessions::open(const std::string& key_id, bool secure) {
  const std::string secret = random_hex(secret_bytes);
  Opened opened;
  opened.session = {key_id, jobs::now(), jobs::now() + life};
  store_.open_session(hash_of(secret), opened.session);
  opened.set_cookie = cookie_ + "=" + secret + "; HttpOnly; SameSite=Strict; Path=/; Max-Age=" +
                      std::to_string(std::chrono::seconds(life).count()) + (secure ? "; Secure" : "");
  return opened;
}

//! RFC 6265, 4.2.1: "name=value; name=value".
std::string Sessions::cookie_of(const http::Request& request) const {
  for (const auto& [name, value] : request.headers) {
    if (!http::equal_ignoring_case(name, "cookie")) continue;
    std::string_view rest = value;
    while (!rest.empty()) {
      const size_t end = rest.find(';');
      const std::string_view pair = http::trimmed(rest.substr(0, end));
      if (pair.size() > cookie_.size() && pair.starts_with(cookie_) && pair[cookie_.size()] == '=')
        return std::string(pair.substr(cookie_.size() + 1));
      if (end == std::string_view::npos) break;
      rest.remove_prefix(end + 1);
    }
  }
  return {};
}

std::optional<std::pair<jobs::Session, jobs::Key>> Sessions::find(const http::Request& request) {
  const std::string secret = cookie_of(request);
  if (secret.size() != 2 * secret_bytes) return std::nullopt;
  auto session = store_.session(hash_of(secret));
  if (!session) return std::nullopt;
  auto key = keys_.use(session->key_id);
  if (!key) return std::nullopt;
  return std::pair{std::move(*session), std::move(*key)};
}

std::string Sessions::id_of(const http::Request& request) const {
  const std::string secret = cookie_of(request);
  return secret.empty() ? "" : hash_of(secret);
}

std::string Sessions::close(const http::Request& request) {
  if (const std::string secret = cookie_of(request); !secret.empty()) store_.close_session(hash_of(secret));
  return cookie_ + "=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0";
}

bool from_own_page(const http::Request& request, bool unsaid) {
  if (const auto site = request.headers.find("sec-fetch-site")) return *site == "same-origin";
  if (const auto origin = request.headers.find("origin")) return host_of(*origin) == request.headers.get("host");
  return unsaid;
}

}  // namespace prax::server

#include "server/gate.h"

#include <algorithm>
#include <cmath>

#include "http/target.h"
#include "server/errors.h"

namespace prax::server {
namespace {

using http::HttpError;

HttpError unauthorized(const std::string& message) {
  return HttpError(401, "invalid_api_key", message).with("www-authenticate", "Bearer");
}

//! "localhost:8000" -> "localhost", "[::1]:80" -> "::1".
std::string host_name(std::string_view host) {
  if (host.starts_with('[')) return std::string(host.substr(1, host.find(']') - 1));
  return http::lower_case(host.substr(0, host.find(':')));
}

//! The host of an origin: "http://localhost:5173" -> "localhost:5173".
std::string_view host_of_origin(std::string_view origin) {
  const size_t slashes = origin.find("://");
  return slashes == std::string_view::npos ? std::string_view{} : origin.substr(slashes + 3);
}

std::optional<std::string_view> bearer(const http::Request& request) {
  const auto header = request.headers.find("authorization");
  if (!header) return std::nullopt;
  constexpr std::string_view scheme = "bearer ";
  if (!http::equal_ignoring_case(header->substr(0, scheme.size()), scheme)) return std::string_view{};
  return http::trimmed(header->substr(scheme.size()));
}

}  // namespace

void Gate::check(http::Request& request, const http::Route& route) {
  if (route.scope == scope::open) {
    request.caller = Caller{};
    return;
  }
  if (route.scope == scope::metrics && request.peer.loopback && has_our_name(request) &&
      !request.headers.contains("authorization") && !request.headers.contains("x-forwarded-for")) {
    request.caller = Caller{};
    return;
  }
  Caller caller = identify(request);
  const auto& limit = caller.key ? caller.key->limits.requests_per_minute : std::nullopt;
  if (limit) {
    caller.rate = rates_.take(caller.key_id, *limit);
    if (!caller.rate->allowed) {
      request.caller = caller;
      throw too_many(*caller.rate, "This key may make " + std::to_string(*limit) + " requests a minute; wait a moment");
    }
  }
  const std::string wanted = route.scope == scope::metrics ? scope::admin : route.scope;
  if (wanted != scope::any && !jobs::has(caller.scopes, jobs::scopes_named(wanted))) {
    request.caller = caller;
    throw HttpError(403, "insufficient_scope",
                    "This key may not do that: it lacks the scope '" + wanted + "'; ask for a key that has it");
  }
  request.caller = std::move(caller);
}

Caller Gate::identify(const http::Request& request) {
  using Verdict = jobs::KeyRing::Verdict;
  const auto secret = bearer(request);
  if (!secret) {
    if (settings_.no_keys) return without_key(request);
    if (sessions_.has_cookie(request)) return with_cookie(request);
    throw unauthorized("There is no API key in the request; send the header 'Authorization: Bearer <key>'");
  }
  const auto answer = keys_.check(*secret);
  switch (answer.verdict) {
    case Verdict::accepted:
      return {answer.key->id, answer.key->scopes, answer.key, {}, {}};
    case Verdict::revoked:
      throw unauthorized("This API key was revoked; ask for a new one");
    case Verdict::expired:
      throw unauthorized("This API key has expired; ask for a new one");
    case Verdict::malformed:
    case Verdict::unknown:
      break;
  }
  // Clients for other services cannot be made to send no key at all.
  if (settings_.no_keys) return without_key(request);
  if (answer.verdict == Verdict::malformed)
    throw unauthorized("The API key is not one of this server; its keys begin with 'prax-' (is it copied whole?)");
  throw unauthorized("The API key is not known here");
}

//! Whether the request names its host as this machine, or as the operator said.
bool Gate::has_our_name(const http::Request& request) const {
  const std::string host = host_name(request.headers.get("host"));
  const auto& extra = settings_.allowed_hosts;
  return http::is_loopback_host(host) || std::find(extra.begin(), extra.end(), host) != extra.end();
}

//! Only programs on this machine come in without a key: neither others, nor web pages that a browser on this machine
//! shows (they would name their origin, or this server by a name of their own: DNS rebinding).
Caller Gate::without_key(const http::Request& request) const {
  if (!request.peer.loopback) throw unauthorized("Only programs on the server's machine may come without an API key");
  if (!has_our_name(request))
    throw HttpError(421, "bad_host",
                    "This server is not '" + host_name(request.headers.get("host")).substr(0, 100) +
                        "'; --allowed-hosts says which names it has");
  if (const auto origin = request.headers.find("origin");
      origin && !allows_origin(*origin) && host_of_origin(*origin) != request.headers.get("host"))
    throw HttpError(403, "origin_not_allowed",
                    "Web pages of this origin may not call the server; --cors-origins says which ones may");
  return {jobs::local_key_id, jobs::Scope::all, {}, {}, {}};
}

//! A browser sends its cookie whatever page makes the request: what changes something must come from our own pages.
Caller Gate::with_cookie(const http::Request& request) const {
  const auto found = sessions_.find(request);
  if (!found) throw HttpError(401, "session_expired", "This browser is not signed in any more; sign in again");
  const bool safe = request.method == "GET" || request.method == "HEAD" || request.method == "OPTIONS";
  if (!safe && !from_own_page(request, false))
    throw HttpError(403, "origin_not_allowed", "Only the server's own pages may do that with a signed-in browser");
  const auto& [session, key] = *found;
  return {key.id, key.scopes, key, {}, session};
}

bool Gate::allows_origin(std::string_view origin) const {
  const auto& allowed = settings_.cors_origins;
  return std::any_of(allowed.begin(), allowed.end(), [&](const std::string& o) { return o == "*" || o == origin; });
}

void Gate::add_cors(const http::Request& request, http::Response& response) const {
  if (settings_.cors_origins.empty()) return;
  response.headers.add("vary", "origin");
  const auto origin = request.headers.find("origin");
  if (!origin || !allows_origin(*origin)) return;
  response.headers.set("access-control-allow-origin", std::string(*origin));
  response.headers.set("access-control-expose-headers",
                       "x-request-id, openai-poll-after-ms, openai-processing-ms, retry-after, retry-after-ms, "
                       "x-should-retry, content-disposition, etag, content-range");
  if (request.method != "OPTIONS") return;
  response.headers.set("access-control-allow-methods", "GET, HEAD, POST, PATCH, DELETE");
  response.headers.set("access-control-max-age", "600");
  // Those asked for, if they are ours: a prefix cannot be written in the header.
  std::string granted;
  std::string asked = http::lower_case(request.headers.get("access-control-request-headers"));
  for (size_t at = 0; at < asked.size();) {
    const size_t end = std::min(asked.find(',', at), asked.size());
    const std::string name(http::trimmed(std::string_view(asked).substr(at, end - at)));
    const bool ours = name == "authorization" || name == "content-type" || name == "idempotency-key" ||
                      name == "last-event-id" || name == "range" || name == "if-range" || name == "if-none-match" ||
                      name.starts_with("openai-") || name.starts_with("x-stainless-");
    if (ours) granted += (granted.empty() ? "" : ", ") + name;
    at = end + 1;
  }
  if (!granted.empty()) response.headers.set("access-control-allow-headers", granted);
}

http::HttpError too_many(const RateLimiter::Verdict& verdict, const std::string& message) {
  const int wait = std::clamp(static_cast<int>(std::ceil(verdict.retry_seconds)), 1, 60);
  return HttpError(429, "rate_limit_exceeded", message)
      .with("retry-after", std::to_string(wait))
      .with("retry-after-ms", std::to_string(static_cast<int>(std::ceil(verdict.retry_seconds * 1000))));
}

const Caller& caller_of(const http::Request& request) { return std::any_cast<const Caller&>(request.caller); }

}  // namespace prax::server

#include <arpa/inet.h>

#include <memory>

#include "base/hash.h"
#include "base/version.h"
#include "server/errors.h"
#include "server/form.h"
#include "server/routes.h"
#include "server/video_object.h"

namespace prax::server {
namespace {

using http::Request;
using http::Response;
using nlohmann::json;

json session_object(const Context& context, const std::string& name, const std::string& key_id, jobs::Scope scopes,
                    const std::optional<jobs::Session>& session) {
  const Settings& settings = context.settings;
  json words = json::array();
  for (const auto& [scope, word] : {std::pair{jobs::Scope::create, scope::create},
                                    {jobs::Scope::read, scope::read},
                                    {jobs::Scope::remove, scope::remove},
                                    {jobs::Scope::admin, scope::admin}})
    if (jobs::has(scopes, scope)) words.push_back(word);
  return {{"object", "session"},
          {"name", name},
          {"key_id", key_id},
          {"scopes", words},
          {"expires_at", session ? json(jobs::unix_seconds(session->expires_at)) : json()},
          {"server",
           {{"version", version()}, {"keys_required", !settings.no_keys}, {"tls", !settings.tls_certificate.empty()}}}};
}

json local_session(const Context& context) {
  return session_object(context, "local", jobs::local_key_id, jobs::Scope::all, {});
}

//! IPv6 gives everyone 64 bits of addresses (RFC 4291, 2.5.4): those of one network count as one.
std::string network_of(const std::string& address) {
  constexpr size_t network_bytes = 8;
  in6_addr v6 = {};
  if (::inet_pton(AF_INET6, address.c_str(), &v6) != 1) return address;
  return hex({v6.s6_addr, network_bytes});
}

//! Whose secret it is.
jobs::Key key_of(const Context& context, bool is_token, const std::string& secret) {
  if (!is_token) {
    const auto answer = context.keys.check(secret);
    if (answer.verdict == jobs::KeyRing::Verdict::accepted) return *answer.key;
    throw http::HttpError(401, "invalid_api_key", "This key is not known here, or it was revoked or has expired",
                          "key");
  }
  auto key = context.sessions.is_start_token(secret) ? context.keys.use(jobs::studio_key_id) : std::nullopt;
  if (!key)
    throw http::HttpError(
        401, "invalid_token",
        "This address is of an earlier start of the server; use the one that it printed now, or a key", "token");
  return *key;
}

Response sign_in(const Context& context, RateLimiter& failures, Request& request) {
  constexpr size_t longest = 200;
  constexpr int most_failures_a_minute = 10;
  if (!from_own_page(request, true))
    throw http::HttpError(403, "origin_not_allowed", "Pages of other origins may sign nobody in here");
  if (context.settings.no_keys) return json_response(local_session(context));
  const Form form(request);
  FieldReader fields(form, form.tree());
  const std::string given = fields.one_of({"token", "key"});
  if (given.empty()) throw missing_field("key");
  const std::string secret = fields.require_text(given, 1, longest);
  fields.finish();
  const std::string network = network_of(request.peer.address);
  // Taken first: many guesses at once are many guesses.
  if (const auto verdict = failures.take(network, most_failures_a_minute); !verdict.allowed)
    throw too_many(verdict, "There were too many wrong keys from your address; wait a moment");
  const jobs::Key key = key_of(context, given == "token", secret);
  failures.give_back(network);
  const auto opened = context.sessions.open(key.id, request.peer.secure);
  Response response = json_response(session_object(context, key.name, key.id, key.scopes, opened.session));
  response.headers.set("set-cookie", opened.set_cookie);
  return response;
}

Response retrieve_session(const Context& context, const Request& request) {
  const Caller& caller = caller_of(request);
  if (!caller.key) return json_response(local_session(context));
  return json_response(session_object(context, caller.key->name, caller.key_id, caller.scopes, caller.session));
}

Response sign_out(const Context& context, const Request& request) {
  Response response;
  response.status = 204;
  if (!context.settings.no_keys) response.headers.set("set-cookie", context.sessions.close(request));
  return response;
}

}  // namespace

void add_session_routes(http::Router& router, const Context& c) {
  const std::string path = "/prax/v1/session";
  const auto failures = std::make_shared<RateLimiter>();
  router.add({"POST", path, [&c, failures](Request& r) { return sign_in(c, *failures, r); }, json_body, scope::open});
  router.add({"GET", path, [&c](Request& r) { return retrieve_session(c, r); }, {}, scope::any});
  router.add({"DELETE", path, [&c](Request& r) { return sign_out(c, r); }, {}, scope::any});
}

}  // namespace prax::server

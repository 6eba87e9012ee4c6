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

//! The key that the body gives: by itself, or by the token of this start.
jobs::Key key_of(const Context& context, Request& request) {
  constexpr size_t longest = 200;
  const Form form(request);
  FieldReader fields(form, form.tree());
  const std::string given = fields.one_of({"token", "key"});
  if (given.empty()) throw missing_field("key");
  const std::string secret = fields.require_text(given, 1, longest);
  fields.finish();
  if (given == "key") {
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

Response sign_in(const Context& context, Request& request) {
  if (!from_own_page(request, true))
    throw http::HttpError(403, "origin_not_allowed", "Pages of other origins may sign nobody in here");
  if (context.settings.no_keys) return json_response(local_session(context));
  const jobs::Key key = key_of(context, request);
  const auto opened = context.sessions.open(key.id, request.peer.secure);
  Response response = json_response(session_object(context, key.name, key.id, key.scopes, opened.session));
  response.headers.set("set-cookie", opened.set_cookie);
  return response;
}

Response retrieve(const Context& context, const Request& request) {
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
  router.add({"POST", path, [&c](Request& r) { return sign_in(c, r); }, json_body, scope::open});
  router.add({"GET", path, [&c](Request& r) { return retrieve(c, r); }, {}, scope::any});
  router.add({"DELETE", path, [&c](Request& r) { return sign_out(c, r); }, {}, scope::any});
}

}  // namespace prax::server

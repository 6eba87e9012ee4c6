#include <cmath>

#include "base/error.h"
#include "server/errors.h"
#include "server/form.h"
#include "server/routes.h"
#include "server/video_object.h"

namespace prax::server {
namespace {

using http::Request;
using http::Response;
using nlohmann::json;

json key_object(const jobs::Key& key) {
  return {{"id", key.id},
          {"object", "prax.key"},
          {"name", key.name},
          {"note", key.note},
          {"hint", key.hint},
          {"scopes", jobs::names_of(key.scopes)},
          {"models", key.models},
          {"limits",
           {{"requests_per_minute", or_null(key.limits.requests_per_minute)},
            {"max_running", or_null(key.limits.max_running)},
            {"max_queued", or_null(key.limits.max_queued)},
            {"daily_seconds", or_null(key.limits.daily_seconds)},
            {"max_priority", key.limits.max_priority}}},
          {"created_at", jobs::unix_seconds(key.created_at)},
          {"expires_at", time_or_null(key.expires_at)},
          {"revoked_at", time_or_null(key.revoked_at)},
          {"last_used_at", time_or_null(key.last_used_at)}};
}

json with_usage(const Context& context, const jobs::Key& key) {
  const auto usage = context.store.usage_of(key.id);
  json object = key_object(key);
  object["usage"] = {{"seconds_today", context.store.seconds_used_today(key.id)},
                     {"videos", usage.videos},
                     {"seconds", usage.seconds},
                     {"bytes", usage.stored_bytes}};
  return object;
}

json created_object(const jobs::CreatedKey& created) {
  json object = key_object(created.key);
  object["key"] = created.secret;
  return object;
}

std::optional<int> small_number(FieldReader& fields, const char* name) {
  constexpr int64_t most = 1'000'000;
  const auto value = fields.whole(name, 0, most);
  return value ? std::optional(static_cast<int>(*value)) : std::nullopt;
}

Response create_key(const Context& context, Request& request) {
  constexpr size_t longest_name = 100, longest_note = 1000, most_models = 100;
  constexpr double longest_life = 36500.0 * 86400, most_seconds = 1e9;
  const Form form(request);
  FieldReader fields(form, form.tree());
  jobs::NewKey key;
  key.name = fields.require_text("name", 1, longest_name);
  key.note = fields.text("note", 0, longest_note).value_or("");
  if (const auto scopes = fields.text("scopes", 1, longest_name)) {
    try {
      key.scopes = jobs::scopes_named(*scopes);
    } catch (const Error& error) {
      throw bad_field("scopes", error.what());
    }
  }
  for (const json* model : fields.list("models", most_models)) {
    if (!model->is_string() || !context.catalog.find(model->get<std::string>()))
      throw bad_field("models", "'models' holds names of models; GET /v1/models lists them");
    key.models.push_back(model->get<std::string>());
  }
  if (const auto seconds = fields.number("expires_in_seconds", 1, longest_life))
    key.expires_at = jobs::now() + jobs::Milliseconds(std::llround(*seconds * 1000));
  key.limits.requests_per_minute = small_number(fields, "requests_per_minute");
  key.limits.max_running = small_number(fields, "max_running");
  key.limits.max_queued = small_number(fields, "max_queued");
  key.limits.daily_seconds = fields.number("daily_seconds", 0, most_seconds);
  key.limits.max_priority = small_number(fields, "max_priority").value_or(0);
  fields.finish();
  Response response = json_response(created_object(context.store.create_key(key, caller_of(request).key_id)));
  response.headers.set("cache-control", "no-store");
  return response;
}

Response list_keys(const Context& context) {
  json data = json::array();
  for (const jobs::Key& key : context.store.keys()) data.push_back(with_usage(context, key));
  return json_response({{"object", "list"}, {"data", data}});
}

jobs::Key find_key(const Context& context, const Request& request) {
  const std::string& id = request.capture("key_id");
  const auto key = context.store.key(id);
  if (!key) throw not_found("key", id);
  return *key;
}

bool query_flag(const Request& request, const char* name) {
  const std::string_view text = request.query_value(name).value_or("false");
  if (text != "true" && text != "false") throw bad_field(name, "'" + std::string(name) + "' must be true or false");
  return text == "true";
}

Response revoke_key(const Context& context, const Request& request) {
  check_query(request, {"cancel_jobs"});
  const bool cancel = query_flag(request, "cancel_jobs");
  const jobs::Key key = find_key(context, request);
  const std::string& actor = caller_of(request).key_id;
  context.store.revoke_key(key.id, actor);
  const int cancelled = cancel ? context.store.cancel_jobs_of(key.id, actor) : 0;
  return json_response(
      {{"id", key.id}, {"object", "prax.key.revoked"}, {"revoked", true}, {"cancelled_jobs", cancelled}});
}

Response revoke_all(const Context& context, const Request& request) {
  check_query(request, {"cancel_jobs", "keep_own"});
  const bool cancel = query_flag(request, "cancel_jobs");
  const std::string& actor = caller_of(request).key_id;
  const int revoked = context.store.revoke_all_keys(actor, query_flag(request, "keep_own") ? actor : "");
  const int cancelled = cancel ? jobs::cancel_jobs_of_revoked_keys(context.store, actor) : 0;
  return json_response({{"object", "prax.keys.revoked"}, {"revoked", revoked}, {"cancelled_jobs", cancelled}});
}

Response rotate_key(const Context& context, const Request& request) {
  const auto created = context.store.rotate_key(find_key(context, request).id, caller_of(request).key_id);
  if (!created) throw conflict("key_not_active", "The key is revoked or expired; make a new one");
  Response response = json_response(created_object(*created));
  response.headers.set("cache-control", "no-store");
  return response;
}

Response own_key(const Context& context, const Request& request) {
  const Caller& caller = caller_of(request);
  const double used = context.store.seconds_used_today(caller.key_id);
  json object = caller.key ? key_object(*caller.key) : json{{"id", caller.key_id}, {"object", "prax.key"}};
  object["scopes"] = jobs::names_of(caller.scopes);
  object["seconds_used_today"] = used;
  return json_response(object);
}

}  // namespace

void add_key_routes(http::Router& router, const Context& c) {
  const std::string all = "/prax/v1/keys", one = all + "/{key_id}";
  router.add({"POST", all, [&c](Request& r) { return create_key(c, r); }, json_body, scope::admin});
  router.add({"GET", all, [&c](Request&) { return list_keys(c); }, {}, scope::admin});
  router.add({"GET", "/prax/v1/key", [&c](Request& r) { return own_key(c, r); }, {}, scope::any});
  router.add({"POST", all + "/revoke_all", [&c](Request& r) { return revoke_all(c, r); }, {}, scope::admin});
  router.add({"GET", one, [&c](Request& r) { return json_response(with_usage(c, find_key(c, r))); }, {}, scope::admin});
  router.add({"DELETE", one, [&c](Request& r) { return revoke_key(c, r); }, {}, scope::admin});
  router.add({"POST", one + "/rotate", [&c](Request& r) { return rotate_key(c, r); }, {}, scope::admin});
}

}  // namespace prax::server

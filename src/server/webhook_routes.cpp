#include <algorithm>
#include <mutex>

#include "base/error.h"
#include "base/hash.h"
#include "server/errors.h"
#include "server/form.h"
#include "server/routes.h"
#include "server/video_object.h"
#include "server/webhook_sender.h"

namespace prax::server {
namespace {

using http::Request;
using http::Response;
using nlohmann::json;

constexpr size_t longest_endpoint_name = 100, longest_url = 2048;
constexpr size_t most_endpoints = 100;  // of one key

json endpoint_object(const jobs::WebhookEndpoint& endpoint, bool with_secret = false) {
  constexpr size_t shown = 4;
  json object{{"id", endpoint.id},
              {"object", "webhook_endpoint"},
              {"name", endpoint.name},
              {"url", endpoint.url},
              {"event_types", endpoint.event_types},
              {"created_at", jobs::unix_seconds(endpoint.created_at)},
              {"updated_at", jobs::unix_seconds(endpoint.updated_at)},
              {"signing_secret_hint", "whsec_..." + endpoint.secret.substr(endpoint.secret.size() - shown)}};
  if (with_secret) object["signing_secret"] = endpoint.secret;
  return object;
}

bool is_event_type(const std::string& name) {
  return std::find(std::begin(jobs::webhook_events), std::end(jobs::webhook_events), name) !=
         std::end(jobs::webhook_events);
}

void read_url_field(const Context& context, FieldReader& fields, jobs::WebhookEndpoint& endpoint) {
  const auto url = fields.text("url", 1, longest_url);
  if (!url) return;
  try {
    check_url(*url, context.webhook_rules());
  } catch (const Error& error) {
    throw bad_field("url", std::string(error.what()) + "; " + error.hint());
  }
  endpoint.url = *url;
}

void read_event_types(FieldReader& fields, jobs::WebhookEndpoint& endpoint) {
  constexpr size_t most = 16;
  if (!fields.has("event_types")) {
    fields.raw("event_types");
    return;
  }
  endpoint.event_types.clear();
  for (const json* element : fields.list("event_types", most)) {
    if (!element->is_string() || !is_event_type(element->get<std::string>()))
      throw bad_field("event_types", "'event_types' may hold video.completed and video.failed");
    if (std::find(endpoint.event_types.begin(), endpoint.event_types.end(), element->get<std::string>()) ==
        endpoint.event_types.end())
      endpoint.event_types.push_back(element->get<std::string>());
  }
  if (endpoint.event_types.empty()) throw bad_field("event_types", "'event_types' must name an event");
}

jobs::WebhookEndpoint find_endpoint(const Context& context, const Request& request) {
  const std::string& id = request.capture("webhook_endpoint_id");
  const auto endpoint = context.store.webhook(id);
  if (!endpoint || !caller_of(request).sees(endpoint->key_id)) throw not_found("webhook endpoint", id);
  return *endpoint;
}

void note(const Context& context, const Request& request, const char* action, const std::string& id) {
  context.store.audit({action, caller_of(request).key_id, id, {{"request_id", request.id}}});
}

Response create_endpoint(const Context& context, Request& request) {
  const Form form(request);
  FieldReader fields(form, form.tree());
  jobs::WebhookEndpoint endpoint;
  endpoint.name = fields.require_text("name", 1, longest_endpoint_name);
  read_url_field(context, fields, endpoint);
  read_event_types(fields, endpoint);
  if (endpoint.url.empty()) throw missing_field("url");
  if (endpoint.event_types.empty()) throw missing_field("event_types");
  fields.finish();
  endpoint.key_id = caller_of(request).key_id;
  if (context.store.webhooks(endpoint.key_id).size() >= most_endpoints)
    throw http::HttpError(422, "too_many_endpoints", "A key may have 100 webhook endpoints; delete one first");
  endpoint.id = jobs::new_endpoint_id();
  endpoint.secret = jobs::new_webhook_secret();
  endpoint.created_at = endpoint.updated_at = jobs::now();
  context.store.put_webhook(endpoint);
  note(context, request, "webhook.created", endpoint.id);
  return json_response(endpoint_object(endpoint, true));
}

Response list_endpoints(const Context& context, const Request& request) {
  check_query(request, {"after", "limit"});
  const auto limit = static_cast<size_t>(query_number(request, "limit", 20, 1, 100));
  auto endpoints = context.store.webhooks(caller_of(request).key_id);
  std::sort(endpoints.begin(), endpoints.end(), [](const auto& a, const auto& b) {
    return a.created_at != b.created_at ? a.created_at > b.created_at : a.id > b.id;
  });
  auto from = endpoints.begin();
  if (const auto after = request.query_value("after"); after && !after->empty()) {
    from = std::find_if(from, endpoints.end(), [&](const auto& e) { return e.id == *after; });
    if (from == endpoints.end()) throw bad_field("after", "There is no such webhook endpoint to go on after");
    ++from;
  }
  json data = json::array();
  for (; from != endpoints.end() && data.size() < limit; ++from) data.push_back(endpoint_object(*from));
  return json_response(list_object(data, from != endpoints.end()));
}

Response update_endpoint(const Context& context, Request& request) {
  jobs::WebhookEndpoint endpoint = find_endpoint(context, request);
  const jobs::WebhookEndpoint before = endpoint;
  const Form form(request);
  FieldReader fields(form, form.tree());
  if (const auto name = fields.text("name", 1, longest_endpoint_name)) endpoint.name = *name;
  read_url_field(context, fields, endpoint);
  read_event_types(fields, endpoint);
  fields.finish();
  if (endpoint.name != before.name || endpoint.url != before.url || endpoint.event_types != before.event_types) {
    endpoint.updated_at = jobs::now();
    context.store.put_webhook(endpoint);
    note(context, request, "webhook.changed", endpoint.id);
  }
  return json_response(endpoint_object(endpoint));
}

Response rotate_secret(const Context& context, Request& request) {
  jobs::WebhookEndpoint endpoint = find_endpoint(context, request);
  const Form form(request);
  FieldReader fields(form, form.tree());
  const bool keep = fields.flag("keep_old_secret_active_for_24_hours").value_or(false);
  fields.finish();
  const jobs::Time now = jobs::now();
  endpoint.old_secret = keep ? endpoint.secret : "";
  endpoint.old_secret_until = keep ? std::optional<jobs::Time>(now + std::chrono::hours(24)) : std::nullopt;
  endpoint.secret = jobs::new_webhook_secret();
  endpoint.updated_at = now;
  context.store.put_webhook(endpoint);
  note(context, request, "webhook.rotated", endpoint.id);
  return json_response(endpoint_object(endpoint, true));
}

Response test_endpoint(const Context& context, Request& request) {
  static std::mutex one_at_a_time;  // each holds a thread for as long as the receiver takes
  const jobs::WebhookEndpoint endpoint = find_endpoint(context, request);
  const Form form(request);
  FieldReader fields(form, form.tree());
  const std::string type = fields.require_text("event_type", 1, longest_endpoint_name);
  fields.finish();
  if (!is_event_type(type)) throw bad_field("event_type", "'event_type' must be video.completed or video.failed");
  const std::unique_lock lock(one_at_a_time, std::try_to_lock);
  if (!lock)
    throw http::HttpError(429, "rate_limit_exceeded", "Another endpoint is being tested; wait a moment")
        .with("retry-after", "2");
  const jobs::Time now = jobs::now();
  const std::string event_id = "evt_" + random_hex(16);
  const std::string body = json{{"id", event_id},
                                {"object", "event"},
                                {"created_at", jobs::unix_seconds(now)},
                                {"type", type},
                                {"data", {{"id", "video_" + std::string(32, '0')}}}}
                               .dump();
  const OutboundAnswer answer =
      post(endpoint.url, webhook_headers(event_id, jobs::unix_seconds(now), body, secrets_of(endpoint, now)), body,
           context.webhook_rules());
  if (!answer.status)
    throw http::HttpError(422, "webhook_unreachable", "The endpoint could not be reached: " + answer.error);
  return json_response({{"object", "webhook_endpoint.test"},
                        {"webhook_endpoint_id", endpoint.id},
                        {"event_type", type},
                        {"status_code", answer.status},
                        {"success", true}});
}

Response remove_endpoint(const Context& context, const Request& request) {
  const jobs::WebhookEndpoint endpoint = find_endpoint(context, request);
  context.store.delete_webhook(endpoint.id);
  note(context, request, "webhook.deleted", endpoint.id);
  return json_response({{"id", endpoint.id}, {"object", "webhook_endpoint.deleted"}, {"deleted", true}});
}

}  // namespace

void add_webhook_routes(http::Router& router, const Context& c) {
  constexpr http::BodyPolicy maybe_json{.json = true, .optional = true};
  const std::string all = "/v1/webhook_endpoints", one = all + "/{webhook_endpoint_id}";
  router.add({"POST", all, [&c](Request& r) { return create_endpoint(c, r); }, json_body, scope::create});
  router.add({"GET", all, [&c](Request& r) { return list_endpoints(c, r); }, {}, scope::read});
  router.add(
      {"GET", one, [&c](Request& r) { return json_response(endpoint_object(find_endpoint(c, r))); }, {}, scope::read});
  router.add({"POST", one, [&c](Request& r) { return update_endpoint(c, r); }, json_body, scope::create});
  router.add({"DELETE", one, [&c](Request& r) { return remove_endpoint(c, r); }, {}, scope::create});
  router.add(
      {"POST", one + "/rotate_secret", [&c](Request& r) { return rotate_secret(c, r); }, maybe_json, scope::create});
  router.add({"POST", one + "/test", [&c](Request& r) { return test_endpoint(c, r); }, json_body, scope::create, true});
  router.add({"GET",
              "/v1/webhook_event_types",
              [](Request&) {
                return json_response({{"object", "list"}, {"data", jobs::webhook_events}});
              },
              {},
              scope::any});
}

}  // namespace prax::server

#include <filesystem>

#include "base/error.h"
#include "base/version.h"
#include "server/errors.h"
#include "server/openapi.h"
#include "server/routes.h"
#include "server/video_object.h"

namespace prax::server {
namespace {

using http::Request;
using http::Response;
using nlohmann::json;

//! Ready: a request that comes now can be served to its end.
Response ready(const Context& context) {
  json checks = json::object();
  bool all = true;
  const auto check = [&](const char* name, const auto& call) {
    try {
      call();
      checks[name] = "ok";
    } catch (const Error&) {  // what exactly is wrong is for the log, not for everyone
      checks[name] = "failed";
      all = false;
    }
  };
  check("database", [&] { context.store.ping(); });
  check("storage", [&] { context.storage.check(); });
  checks["accepting"] = context.draining ? "draining" : "ok";
  all = all && !context.draining;
  constexpr int ok = 200, unavailable = 503;
  return Response::json(all ? ok : unavailable,
                        json{{"status", all ? "ready" : "not ready"}, {"checks", checks}}.dump());
}

Response queue(const Context& context, const Request& request) {
  const auto stats = context.store.queue_stats();
  json object{{"object", "prax.queue"},
              {"queued", stats.queued},
              {"in_progress", stats.in_progress},
              {"completed", stats.completed},
              {"failed", stats.failed},
              {"cancelled", stats.cancelled},
              {"oldest_queued_at", time_or_null(stats.oldest_queued_at)},
              {"queued_by_model", stats.queued_by_model}};
  if (caller_of(request).admin()) object["in_progress_by_worker"] = stats.in_progress_by_worker;
  return json_response(object);
}

//! Where a video stands in the queue.
Response place(const Context& context, const Request& request) {
  const jobs::Job job = find_job(context, caller_of(request), request.capture("video_id"));
  return json_response({{"id", job.id},
                        {"object", "prax.queue.place"},
                        {"status", name_of(job.status)},
                        {"jobs_ahead", context.store.jobs_ahead(job.id)}});
}

Response storage(const Context& context) {
  const uint64_t used = context.store.stored_bytes();
  return json_response(
      {{"object", "prax.storage"},
       {"place", context.storage.describe()},
       {"stored_bytes", used},
       {"quota_bytes", context.settings.quota ? json(*context.settings.quota) : json()},
       {"retention_seconds", context.settings.retention ? json(context.settings.retention->count() / 1000) : json()},
       {"database", context.store.kind()}});
}

Response audit(const Context& context, const Request& request) {
  check_query(request, {"after", "limit"});
  const int64_t after = query_number(request, "after", 0, 0, INT64_MAX);
  const auto limit = static_cast<int>(query_number(request, "limit", 100, 1, 1000));
  json data = json::array();
  for (const auto& entry : context.store.audit_entries(after, limit)) data.push_back(to_json(entry));
  return json_response({{"object", "list"}, {"data", data}});
}

Response metrics(const Context& context) {
  std::string text = context.metrics.text();
  const auto stats = context.store.queue_stats();
  const auto count = [](int64_t n) { return static_cast<double>(n); };
  text += metric("prax_jobs", "gauge", "Jobs by status.",
                 {{"{status=\"queued\"}", count(stats.queued)},
                  {"{status=\"in_progress\"}", count(stats.in_progress)},
                  {"{status=\"completed\"}", count(stats.completed)},
                  {"{status=\"failed\"}", count(stats.failed)},
                  {"{status=\"cancelled\"}", count(stats.cancelled)}});
  const double oldest =
      stats.oldest_queued_at ? static_cast<double>((jobs::now() - *stats.oldest_queued_at).count()) / 1000 : 0;
  text += metric("prax_oldest_queued_seconds", "gauge", "How long the oldest waiting job has waited.", {{"", oldest}});
  text += metric("prax_stored_bytes", "gauge", "Bytes of results and inputs.",
                 {{"", static_cast<double>(context.store.stored_bytes())}});
  text += metric("prax_event_streams", "gauge", "Open event streams.",
                 {{"", count(static_cast<int64_t>(context.events.count()))}});
  text += metric("prax_build_info", "gauge", "The program's version.",
                 {{std::string("{version=\"") + version() + "\"}", 1}});
  return Response::text(200, std::move(text), "text/plain; version=0.0.4; charset=utf-8");
}

}  // namespace

http::HttpError unknown_url(const Request& request) {
  return {404, "unknown_url", "There is nothing at " + request.method + " " + request.path.substr(0, 200)};
}

void add_operation_routes(http::Router& router, const Context& c) {
  router.add({"GET", "/healthz", [](Request&) { return Response::json(200, R"({"status":"ok"})"); }, {}, scope::open});
  router.add({"GET", "/readyz", [&c](Request&) { return ready(c); }, {}, scope::open});
  router.add({"GET", "/metrics", [&c](Request&) { return metrics(c); }, {}, scope::metrics});
  router.add({"GET",
              "/openapi.json",
              [text = openapi_document(c.settings, c.catalog).dump()](Request&) { return Response::json(200, text); },
              {},
              scope::open});
  router.add({"GET", "/prax/v1/queue", [&c](Request& r) { return queue(c, r); }, {}, scope::any});
  router.add({"GET", "/prax/v1/videos/{video_id}/queue", [&c](Request& r) { return place(c, r); }, {}, scope::read});
  router.add({"GET", "/prax/v1/storage", [&c](Request&) { return storage(c); }, {}, scope::admin});
  router.add({"GET", "/prax/v1/audit", [&c](Request& r) { return audit(c, r); }, {}, scope::admin});
}

}  // namespace prax::server

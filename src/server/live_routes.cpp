#include <algorithm>
#include <charconv>

#include "server/errors.h"
#include "server/routes.h"
#include "server/video_object.h"

namespace prax::server {
namespace {

using http::Request;
using http::Response;

//! A stream of one job's events, or of all jobs' for "".
std::shared_ptr<http::EventStream> open_stream(const Context& context, const Request& request,
                                               const std::string& job_id) {
  const Caller& caller = caller_of(request);
  const EventHub::Listener listener{caller.key_id, caller.admin(), job_id,
                                    caller.session ? context.sessions.id_of(request) : ""};
  auto stream = context.events.open(listener, static_cast<size_t>(context.settings.max_streams_per_key));
  if (!stream)
    throw http::HttpError(429, "too_many_streams",
                          "This key has " + std::to_string(context.settings.max_streams_per_key) +
                              " event streams open already; close one first")
        .with("retry-after", "5");
  return stream;
}

//! The version that the client saw last; -1 when it says none, or one that is yet to come.
int64_t last_event_id(const Context& context, const Request& request) {
  const std::string_view text = request.headers.get("last-event-id");
  int64_t version = -1;
  std::from_chars(text.data(), text.data() + text.size(), version);
  return version <= context.store.latest_version() ? version : -1;
}

//! Events of one video: where it stands now (unless the client has seen that), each change, its end.
Response video_events(const Context& context, const Request& request) {
  const Caller& caller = caller_of(request);
  const std::string id = find_job(context, caller, request.capture("video_id")).id;
  auto stream = open_stream(context, request, id);
  int64_t seen = last_event_id(context, request);
  do {
    // Asked again, now that no change is missed: nothing falls between the two.
    const auto job = context.store.job(id);
    if (!job) {
      stream->close();
      throw not_found("video", id);
    }
    if (job->version > seen) stream->send(EventHub::event_of(*job));
    seen = std::max(seen, job->version);
    if (is_final(job->status)) stream->close();
  } while (!context.events.let_hear(*stream, seen));
  return Response::events(stream);
}

//! What a client missed, in the order in which it happened: where the stream ends for being too much at once, the
//! client comes back with the last that it got, and hears the rest. The last of it.
int64_t send_missed(const Context& context, int64_t seen, const std::string& key_id, http::EventStream& stream) {
  for (const int64_t now = context.store.latest_version(); seen < now;) {
    const auto changes = context.store.changed_jobs(seen, key_id);
    auto deletion = changes.deleted.begin();
    const auto send_deletions = [&](int64_t before) {
      for (; deletion != changes.deleted.end() && deletion->version < before; ++deletion)
        if (!stream.send(EventHub::event_of(*deletion))) return false;
      return true;
    };
    for (const jobs::Job& job : changes.jobs)
      if (!send_deletions(job.version) || !stream.send(EventHub::event_of(job))) return seen;
    if (!send_deletions(INT64_MAX)) return seen;
    seen = changes.version;
  }
  return seen;
}

//! Events of all of the caller's videos.
Response all_events(const Context& context, const Request& request) {
  const Caller& caller = caller_of(request);
  auto stream = open_stream(context, request, "");
  int64_t seen = last_event_id(context, request);
  if (seen < 0) seen = context.store.latest_version();
  do seen = send_missed(context, seen, caller.admin() ? "" : caller.key_id, *stream);
  while (!context.events.let_hear(*stream, seen));
  return Response::events(stream);
}

Response cancel(const Context& context, const Request& request) {
  const Caller& caller = caller_of(request);
  const jobs::Job job = find_job(context, caller, request.capture("video_id"));
  const std::optional<jobs::Job> after = is_final(job.status) ? job : context.store.cancel_job(job.id, caller.key_id);
  if (!after) throw not_found("video", job.id);
  if (is_final(job.status) || after->status != jobs::JobStatus::cancelled)
    throw conflict("already_finished", "The video is " + std::string(name_of(after->status)) + " already");
  return json_response(video_object(*after));
}

Response preview(const Context& context, const Request& request) {
  check_query(request, {"number"});
  query_number(request, "number", 0, 0, INT64_MAX);  // makes each picture's address its own
  const jobs::Job job = find_job(context, caller_of(request), request.capture("video_id"));
  std::string picture = context.store.preview(job.id);
  if (picture.empty()) throw http::HttpError(404, "no_preview", "There is no preview of this video just now");
  Response response = Response::text(200, std::move(picture), "image/jpeg");
  response.headers.set("cache-control", "private, no-store");
  return response;
}

Response provenance(const Context& context, const Request& request) {
  return json_response(provenance_object(find_job(context, caller_of(request), request.capture("video_id"))));
}

}  // namespace

void add_live_routes(http::Router& router, const Context& c) {
  const std::string video = "/prax/v1/videos/{video_id}";
  router.add({"GET", "/prax/v1/events", [&c](Request& r) { return all_events(c, r); }, {}, scope::read});
  router.add({"GET", video + "/events", [&c](Request& r) { return video_events(c, r); }, {}, scope::read});
  router.add({"GET", video + "/preview", [&c](Request& r) { return preview(c, r); }, {}, scope::read});
  router.add({"GET", video + "/provenance", [&c](Request& r) { return provenance(c, r); }, {}, scope::read});
  router.add({"POST", video + "/cancel", [&c](Request& r) { return cancel(c, r); }, {}, scope::remove});
}

}  // namespace prax::server

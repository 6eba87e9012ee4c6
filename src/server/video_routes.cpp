#include <algorithm>
#include <charconv>

#include "server/errors.h"
#include "server/job_draft.h"
#include "server/routes.h"
#include "server/video_object.h"

namespace prax::server {
namespace {

using http::Request;
using http::Response;
using nlohmann::json;

Response create_video(const Context& context, Request& request) {
  JobDraft draft(context, request, jobs::JobKind::create);
  draft.read_common();
  draft.read_model(context.catalog.default_name());
  draft.read_shape();
  draft.read_references();
  draft.read_again();
  draft.read_title();
  return video_response(context, draft.submit());
}

void require_changes(const JobDraft& draft) {
  if (!draft.model().limits.changes_clips)
    throw bad_field("model", "The model '" + draft.model().name + "' cannot change clips; choose another with 'model'",
                    "unsupported_model");
}

Response remix(const Context& context, Request& request) {
  JobDraft draft(context, request, jobs::JobKind::remix);
  const jobs::Job source = draft.finished_job(request.capture("video_id"), "video_id");
  draft.read_common();
  draft.read_model(source.model);
  require_changes(draft);
  draft.take_shape_of(source);
  draft.take_result(source);
  draft.job().settings.video = "video";
  return video_response(context, draft.submit());
}

Response edit(const Context& context, Request& request) {
  JobDraft draft(context, request, jobs::JobKind::edit);
  draft.read_common();
  auto source = draft.read_video();
  draft.read_model(source.job ? source.job->model : context.catalog.default_name());
  require_changes(draft);
  if (source.job) {
    draft.take_shape_of(*source.job);
    draft.take_result(*source.job);
  } else {
    draft.take_shape_of(*source.clip);
    draft.take_upload("video", std::move(*source.clip));
  }
  draft.job().settings.video = "video";
  return video_response(context, draft.submit());
}

Response extend(const Context& context, Request& request) {
  JobDraft draft(context, request, jobs::JobKind::extension);
  draft.read_common();
  const auto seconds = draft.read_seconds();
  if (!seconds) throw missing_field("seconds");
  auto source = draft.read_video();
  draft.read_model(source.job ? source.job->model : context.catalog.default_name());
  const pipelines::Limits& limits = draft.model().limits;
  if (!limits.extends_clips)
    throw bad_field("model", "The model '" + draft.model().name + "' cannot extend clips; choose another with 'model'",
                    "unsupported_model");
  int64_t clip_frames = 0;
  if (source.job) {
    draft.take_shape_of(*source.job);
    draft.take_result(*source.job);
    clip_frames = frames_of(*source.job);
  } else {
    draft.take_shape_of(*source.clip);
    clip_frames = source.clip->frames;
    draft.take_upload("video", std::move(*source.clip));
  }
  jobs::NewJob& job = draft.job();
  job.settings.extend = "video";
  const std::string direction = draft.fields().text("direction", 1, 10).value_or("after");
  if (direction != "after" && direction != "before")
    throw bad_field("direction", "'direction' must be after or before");
  job.settings.before = direction == "before";
  if (job.settings.before && !limits.takes_conditions)
    throw bad_field("direction", "The model '" + draft.model().name + "' extends clips only after their end",
                    "unsupported_model");
  plan_extension(draft.model(), clip_frames, *seconds, job);
  require_length(context, job.seconds, "seconds");
  return video_response(context, draft.submit());
}

Response list_videos(const Context& context, const Request& request) {
  check_query(request, {"after", "limit", "order"});
  constexpr int usual = 20, most = 100;
  jobs::JobQuery query;
  query.key_id = caller_of(request).key_id;
  query.after = request.query_value("after").value_or("");
  query.limit = static_cast<int>(query_number(request, "limit", usual, 0, most));
  const std::string_view order = request.query_value("order").value_or("desc");
  if (order != "asc" && order != "desc") throw bad_field("order", "'order' must be asc or desc");
  query.newest_first = order == "desc";
  const bool nothing = query.limit == 0;  // still says whether there is more
  if (nothing) query.limit = 1;
  auto page = context.store.jobs(query);
  if (!page.known_after)
    throw bad_field("after", "There is no video '" + query.after.substr(0, 100) + "' to go on after");
  if (nothing) {
    page.has_more = !page.jobs.empty();
    page.jobs.clear();
  }
  json data = json::array();
  for (const jobs::Job& job : page.jobs) data.push_back(video_object(job));
  return json_response(list_object(data, page.has_more));
}

Response remove_video(const Context& context, const Request& request) {
  const jobs::Job job = find_job(context, caller_of(request), request.capture("video_id"));
  if (!context.store.delete_job(job.id, caller_of(request).key_id)) throw not_found("video", job.id);
  return json_response(deleted_object(job.id));
}

}  // namespace

int64_t query_number(const Request& request, const char* name, int64_t usual, int64_t least, int64_t most) {
  const auto text = request.query_value(name);
  if (!text) return usual;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (error != std::errc() || end != text->data() + text->size() || number < least || number > most)
    throw bad_field(name, "'" + std::string(name) + "' must be a whole number from " + std::to_string(least) + " to " +
                              std::to_string(most));
  return number;
}

void check_query(const Request& request, std::initializer_list<const char*> known) {
  for (const auto& [name, value] : request.query)
    if (std::find(known.begin(), known.end(), name) == known.end())
      throw bad_field(name.substr(0, 100), "There is no parameter '" + name.substr(0, 100) + "' here",
                      "unknown_parameter");
}

Response video_response(const Context& context, const jobs::Job& job) {
  Response response = json_response(video_object(job));
  if (!is_final(job.status))
    response.headers.set("openai-poll-after-ms", std::to_string(context.estimates.poll_after_ms(job)));
  return response;
}

void add_video_routes(http::Router& router, const Context& c) {
  using http::Handler;
  router.add(
      {"POST", "/v1/videos", [&c](Request& r) { return create_video(c, r); }, json_or_multipart, scope::create, true});
  router.add({"GET", "/v1/videos", [&c](Request& r) { return list_videos(c, r); }, {}, scope::read});
  router.add(
      {"POST", "/v1/videos/edits", [&c](Request& r) { return edit(c, r); }, json_or_multipart, scope::create, true});
  router.add({"POST", "/v1/videos/extensions", [&c](Request& r) { return extend(c, r); }, json_or_multipart,
              scope::create, true});
  router.add({"GET",
              "/v1/videos/{video_id}",
              [&c](Request& r) { return video_response(c, find_job(c, caller_of(r), r.capture("video_id"))); },
              {},
              scope::read});
  router.add({"DELETE", "/v1/videos/{video_id}", [&c](Request& r) { return remove_video(c, r); }, {}, scope::remove});
  router.add({"POST", "/v1/videos/{video_id}/remix", [&c](Request& r) { return remix(c, r); }, json_or_multipart,
              scope::create});
}

}  // namespace prax::server

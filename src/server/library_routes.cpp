#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "server/errors.h"
#include "server/form.h"
#include "server/job_draft.h"
#include "server/routes.h"
#include "server/video_object.h"

namespace prax::server {
namespace {

using http::Request;
using http::Response;
using nlohmann::json;

constexpr size_t longest_text = 100;

std::optional<bool> maybe_query_flag(const Request& request, const char* name) {
  const auto value = request.query_value(name);
  if (!value) return std::nullopt;
  if (*value != "true" && *value != "false") throw bad_field(name, "'" + std::string(name) + "' must be true or false");
  return *value == "true";
}

//! The API's four statuses: a cancelled job is a failed one.
std::vector<jobs::JobStatus> statuses_named(std::string_view name) {
  using jobs::JobStatus;
  if (name == "queued") return {JobStatus::queued};
  if (name == "in_progress") return {JobStatus::in_progress};
  if (name == "completed") return {JobStatus::completed};
  if (name == "failed") return {JobStatus::failed, JobStatus::cancelled};
  throw bad_field("status", "'status' must be queued, in_progress, completed or failed");
}

jobs::LibraryQuery query_of(const Request& request) {
  check_query(request, {"q", "folder", "favourite", "model", "status", "kind", "order", "after", "limit"});
  constexpr int usual = 50, most = 200;
  constexpr size_t longest_search = 500;
  jobs::LibraryQuery query;
  query.key_id = caller_of(request).key_id;
  query.text = request.query_value("q").value_or("");
  if (count_characters(query.text) > longest_search) throw bad_field("q", "'q' may have at most 500 characters");
  if (const auto folder = request.query_value("folder")) query.folder = std::string(*folder);
  query.favourite = maybe_query_flag(request, "favourite");
  query.model = request.query_value("model").value_or("");
  if (const auto status = request.query_value("status")) query.statuses = statuses_named(*status);
  if (const auto kind = request.query_value("kind")) {
    try {
      query.kind = jobs::job_kind_named(*kind);
    } catch (const Error& error) {
      throw bad_field("kind", std::string(error.what()) + "; " + error.hint());
    }
  }
  const std::string_view order = request.query_value("order").value_or("newest");
  if (order != "newest" && order != "oldest") throw bad_field("order", "'order' must be newest or oldest");
  query.newest_first = order == "newest";
  query.after = request.query_value("after").value_or("");
  query.limit = static_cast<int>(query_number(request, "limit", usual, 1, most));
  return query;
}

Response library(const Context& context, const Request& request) {
  const jobs::LibraryQuery query = query_of(request);
  const auto page = context.store.library(query);
  if (!page.known_after)
    throw bad_field("after", "There is no video '" + query.after.substr(0, longest_text) + "' to go on after");
  json data = json::array(), folders = json::array();
  for (const jobs::Job& job : page.jobs) data.push_back(live_object(job));
  for (const auto& [name, count] : page.folders) folders.push_back({{"name", name}, {"count", count}});
  json answer = list_object(data, page.has_more);
  answer["total"] = page.total;
  answer["folders"] = folders;
  return json_response(answer);
}

Response note(const Context& context, Request& request) {
  const jobs::Job job = find_job(context, caller_of(request), request.capture("video_id"));
  const Form form(request);
  FieldReader fields(form, form.tree());
  jobs::JobNote note;
  note.title = fields.text("title", 0, longest_title);
  note.folder = fields.text("folder", 0, longest_text);
  note.favourite = fields.flag("favourite");
  fields.finish();
  const auto after = context.store.note_job(job.id, note);
  if (!after) throw not_found("video", job.id);
  return json_response(video_object(*after));
}

Response family(const Context& context, const Request& request) {
  const Caller& caller = caller_of(request);
  const jobs::Job job = find_job(context, caller, request.capture("video_id"));
  const auto family = context.store.family(job.id, caller.admin() ? "" : caller.key_id);
  json videos = json::array(), edges = json::array();
  for (const jobs::Job& member : family.jobs) videos.push_back(video_object(member));
  for (const std::string& id : family.deleted) videos.push_back({{"id", id}, {"deleted", true}});
  for (const auto& edge : family.edges) edges.push_back({{"from", edge.from}, {"to", edge.to}, {"kind", edge.kind}});
  return json_response({{"object", "prax.family"}, {"root", job.id}, {"videos", videos}, {"edges", edges}});
}

json preset_object(const jobs::Preset& preset) {
  return {{"id", preset.id},
          {"object", "prax.preset"},
          {"name", preset.name},
          {"settings", preset.settings},
          {"created_at", jobs::unix_seconds(preset.created_at)}};
}

//! `name` and `settings`, as far as they are there. Settings are the caller's own words: they are checked when a video
//! is made of them.
void read_preset(Request& request, jobs::Preset& preset, bool whole) {
  constexpr size_t most_bytes = 100'000;
  const Form form(request);
  FieldReader fields(form, form.tree());
  const auto name = fields.text("name", 1, longest_text);
  if (whole && !name) throw missing_field("name");
  if (name) preset.name = *name;
  const json* settings = fields.raw("settings");
  if (whole && !settings) throw missing_field("settings");
  if (settings) {
    if (!settings->is_object()) throw bad_field("settings", "'settings' must be an object", "invalid_type");
    if (settings->dump(-1, ' ', false, json::error_handler_t::replace).size() > most_bytes)
      throw bad_field("settings", "The settings take more than 100 kB; leave pictures and clips out");
    preset.settings = *settings;
  }
  fields.finish();
}

jobs::Preset find_preset(const Context& context, const Request& request) {
  const std::string& id = request.capture("preset_id");
  auto preset = context.store.preset(id);
  if (!preset || preset->key_id != caller_of(request).key_id) throw not_found("preset", id);
  return *std::move(preset);
}

Response list_presets(const Context& context, const Request& request) {
  json data = json::array();
  for (const auto& preset : context.store.presets(caller_of(request).key_id)) data.push_back(preset_object(preset));
  return json_response({{"object", "list"}, {"data", data}});
}

Response create_preset(const Context& context, Request& request) {
  constexpr size_t most = 500, id_bytes = 12;
  jobs::Preset preset{"preset_" + random_hex(id_bytes), caller_of(request).key_id, {}, {}, jobs::now()};
  read_preset(request, preset, true);
  if (context.store.presets(preset.key_id).size() >= most)
    throw conflict("too_many_presets", "There are 500 presets already; delete one first");
  context.store.put_preset(preset);
  return json_response(preset_object(preset));
}

Response change_preset(const Context& context, Request& request) {
  jobs::Preset preset = find_preset(context, request);
  read_preset(request, preset, false);
  context.store.put_preset(preset);
  return json_response(preset_object(preset));
}

Response delete_preset(const Context& context, const Request& request) {
  const std::string id = find_preset(context, request).id;
  context.store.delete_preset(id);
  return json_response({{"id", id}, {"object", "prax.preset.deleted"}, {"deleted", true}});
}

}  // namespace

void add_library_routes(http::Router& router, const Context& c) {
  const std::string video = "/prax/v1/videos/{video_id}", presets = "/prax/v1/presets",
                    preset = presets + "/{preset_id}";
  router.add({"GET", "/prax/v1/library", [&c](Request& r) { return library(c, r); }, {}, scope::read});
  router.add({"PATCH", video, [&c](Request& r) { return note(c, r); }, json_body, scope::create});
  router.add({"GET", video + "/family", [&c](Request& r) { return family(c, r); }, {}, scope::read});
  router.add({"GET", presets, [&c](Request& r) { return list_presets(c, r); }, {}, scope::read});
  router.add({"POST", presets, [&c](Request& r) { return create_preset(c, r); }, json_body, scope::create});
  router.add({"PATCH", preset, [&c](Request& r) { return change_preset(c, r); }, json_body, scope::create});
  router.add({"DELETE", preset, [&c](Request& r) { return delete_preset(c, r); }, {}, scope::create});
}

}  // namespace prax::server

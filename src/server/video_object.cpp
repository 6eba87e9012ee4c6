#include "server/video_object.h"

#include <algorithm>

#include "base/version.h"

namespace prax::server {
namespace {

using jobs::JobStatus;
using nlohmann::json;

json lora_list(const jobs::Settings& settings) {
  json list = json::array();
  for (const auto& lora : settings.loras) list.push_back({{"id", lora.name}, {"weight", lora.weight}});
  return list;
}

json character_list(const jobs::Settings& settings) {
  json list = json::array();
  for (const auto& who : settings.characters) list.push_back({{"id", who.id}, {"name", who.name}});
  return list;
}

//! Of a storyboard's joined video; null of others.
json card_list(const jobs::Settings& settings) {
  json list;
  for (const auto& card : settings.cards)
    list.push_back({{"video", card.job_id}, {"joined_by", card.joined_by.empty() ? json() : json(card.joined_by)}});
  return list;
}

//! Settings beyond the API that have a value.
void add_settings(json& video, const jobs::Settings& settings) {
  video["seed"] = settings.seed;
  video["fps"] = settings.fps;
  video["num_frames"] = settings.frames;
  video["negative_prompt"] = settings.negative_prompt;
  video["steps"] = or_null(settings.steps);
  video["guidance_scale"] = or_null(settings.guidance);
  video["strength"] = or_null(settings.strength);
  video["loop"] = settings.loop;
  video["loras"] = lora_list(settings);
  video["characters"] = character_list(settings);
}

}  // namespace

json time_or_null(const std::optional<jobs::Time>& time) { return time ? json(jobs::unix_seconds(*time)) : json(); }

json video_object(const jobs::Job& job) {
  const jobs::Settings& settings = job.settings;
  const bool cancelled = job.status == JobStatus::cancelled;
  json error;
  if (job.error)
    error = {{"code", job.error->code}, {"message", job.error->message}};
  else if (cancelled)
    error = {{"code", "cancelled"}, {"message", "The video was cancelled before it was finished"}};
  const bool done = job.status == JobStatus::completed;
  json video{{"id", job.id},
             {"object", "video"},
             {"model", job.model},
             {"status", cancelled ? "failed" : std::string(name_of(job.status))},
             {"progress", done ? 100 : std::clamp(job.progress.percent, 0, 99)},
             {"created_at", jobs::unix_seconds(job.created_at)},
             {"completed_at", time_or_null(job.completed_at)},
             {"expires_at", time_or_null(job.expires_at)},
             {"prompt", job.prompt},
             {"size", std::to_string(settings.width) + "x" + std::to_string(settings.height)},
             {"seconds", jobs::seconds_text(job.seconds)},
             {"remixed_from_video_id", job.kind == jobs::JobKind::remix ? or_null(job.source_id) : json()},
             {"error", error}};
  video["kind"] = name_of(job.kind);
  video["source_video_id"] = or_null(job.source_id);
  video["requested_model"] = job.requested_model;
  video["metadata"] = job.metadata;
  video["priority"] = job.priority;
  add_settings(video, settings);
  video["title"] = job.title;
  video["favourite"] = job.favourite;
  video["folder"] = job.folder;
  video["waits_for"] = job.waits_for;
  video["joined_by"] = settings.joined_by.empty() ? json() : json(settings.joined_by);
  video["cards"] = card_list(settings);
  video["upscaled_by"] = settings.upscaled_by.empty() ? json() : json(settings.upscaled_by);
  uint64_t bytes = 0;
  for (const auto& result : job.results) bytes += result.bytes;
  video["size_bytes"] = bytes;
  video["expired"] = job.expired;
  video["inference_time_s"] = done ? json(job.cost.inference_seconds) : json();
  video["peak_memory_mb"] = done ? json(job.cost.peak_memory_mb) : json();
  return video;
}

json live_object(const jobs::Job& job) {
  json video = video_object(job);
  video["stage"] = job.progress.stage;
  video["step"] = job.progress.step;
  video["steps_of_stage"] = job.progress.steps;
  video["seconds_left"] = or_null(job.progress.seconds_left);
  video["preview"] = job.progress.preview > 0
                         ? json("/prax/v1/videos/" + job.id + "/preview?number=" + std::to_string(job.progress.preview))
                         : json();
  return video;
}

json deleted_object(const std::string& id) { return {{"id", id}, {"object", "video.deleted"}, {"deleted", true}}; }

json provenance_object(const jobs::Job& job) {
  json inputs = json::array(), results = json::array();
  for (const auto& input : job.inputs)
    inputs.push_back(
        {{"name", input.name}, {"media_type", input.media_type}, {"bytes", input.bytes}, {"sha256", input.sha256}});
  for (const auto& result : job.results)
    results.push_back({{"variant", result.variant},
                       {"media_type", result.media_type},
                       {"bytes", result.bytes},
                       {"sha256", result.sha256}});
  return {{"id", job.id},
          {"object", "prax.provenance"},
          {"kind", name_of(job.kind)},
          {"status", name_of(job.status)},
          {"source_video_id", or_null(job.source_id)},
          {"model", job.model},
          {"requested_model", job.requested_model},
          {"prompt", job.prompt},
          {"settings", to_json(job.settings)},
          {"inputs", inputs},
          {"results", results},
          {"software", std::string("prax ") + version()},
          {"worker", job.worker},
          {"attempts", job.attempts},
          {"key_id", job.key_id},
          {"created_at", jobs::unix_seconds(job.created_at)},
          {"started_at", time_or_null(job.started_at)},
          {"completed_at", time_or_null(job.completed_at)},
          {"inference_time_s", job.cost.inference_seconds},
          {"peak_memory_mb", job.cost.peak_memory_mb}};
}

json list_object(const json& data, bool has_more) {
  return {{"object", "list"},
          {"data", data},
          {"first_id", data.empty() ? json() : data.front().at("id")},
          {"last_id", data.empty() ? json() : data.back().at("id")},
          {"has_more", has_more}};
}

http::Response json_response(const json& value) {
  return http::Response::json(200, value.dump(-1, ' ', false, json::error_handler_t::replace));
}

}  // namespace prax::server

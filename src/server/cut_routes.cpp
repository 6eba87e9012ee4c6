#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "media/cut.h"
#include "server/errors.h"
#include "server/job_draft.h"
#include "server/routes.h"
#include "server/video_object.h"

// Videos that are made of others: cut and joined, blended, enlarged.
namespace prax::server {
namespace {

using http::Request;
using http::Response;
using nlohmann::json;

constexpr double longest_crossfade = 10;

//! The size and the rate of a finished video; nothing is charged for what no model makes.
void take_format(const jobs::Job& source, jobs::NewJob& job) {
  job.settings.width = source.settings.width;
  job.settings.height = source.settings.height;
  job.settings.fps = source.settings.fps;
}

//! The length that the parts come to, and whether they can be joined.
void take_length(const Context& context, const std::vector<jobs::Job>& sources, const std::string& param,
                 jobs::NewJob& job) {
  std::vector<media::CutPart> parts;
  std::vector<media::CutSource> known;
  for (size_t i = 0; i < sources.size(); ++i) {
    const jobs::JoinedPart& part = job.settings.parts[i];
    parts.push_back({{}, part.start, part.end, part.crossfade});
    known.push_back({frames_of(sources[i]), sources[i].settings.fps});
  }
  try {
    job.settings.frames = media::count_cut_frames(parts, known, job.settings.fps);
  } catch (const Error& error) {
    throw bad_field(param, "In '" + param + "' " + error.what() + "; " + error.hint());
  }
  job.seconds = static_cast<double>(job.settings.frames - 1) / job.settings.fps;
  require_length(context, job.seconds, param);
}

std::string input_of(JobDraft& draft, const jobs::Job& source) {
  auto& inputs = draft.job().inputs;
  const auto same = std::find_if(inputs.begin(), inputs.end(), [&](const jobs::InputFile& input) {
    return input.storage_name.starts_with("results/" + source.id + "/");
  });
  if (same != inputs.end()) return same->name;
  std::string name = "clip-" + std::to_string(inputs.size() + 1);
  draft.take_result(source, name);
  return name;
}

Response cut(const Context& context, Request& request) {
  constexpr size_t most_parts = 64, longest_id = 200;
  JobDraft draft(context, request, jobs::JobKind::cut);
  jobs::NewJob& job = draft.job();
  draft.read_title();
  std::vector<jobs::Job> sources;
  for (const json* element : draft.fields().list("parts", most_parts)) {
    const std::string path = "parts[" + std::to_string(sources.size()) + "]";
    FieldReader reader(draft.fields().form(), *element, path);
    const std::string id = reader.require_text("video", 1, longest_id);
    jobs::JoinedPart part;
    part.start = reader.number("start", 0, context.settings.max_seconds).value_or(0);
    part.end = reader.number("end", 0, context.settings.max_seconds);
    part.crossfade = reader.number("crossfade", 0, longest_crossfade).value_or(0);
    reader.finish();
    sources.push_back(draft.finished_job(id, path + ".video"));
    part.input = input_of(draft, sources.back());
    job.settings.parts.push_back(part);
  }
  if (sources.empty()) throw missing_field("parts");
  draft.fields().finish();
  take_format(sources.front(), job);
  job.prompt = sources.front().prompt;
  job.settings.seed = sources.front().settings.seed;
  take_length(context, sources, "parts", job);
  return video_response(context, draft.submit());
}

//! Whether the upsampler takes the video as it is, whole groups of frames and cells of pixels.
bool enlarges(const pipelines::Limits& limits, const jobs::Job& source) {
  return (frames_of(source) - limits.frame_offset) % limits.frame_group == 0 &&
         source.settings.width % limits.size_multiple == 0 && source.settings.height % limits.size_multiple == 0;
}

Response upscale(const Context& context, Request& request) {
  constexpr size_t longest_id = 200;
  constexpr int64_t longest_side = 8192;
  JobDraft draft(context, request, jobs::JobKind::upscale);
  jobs::NewJob& job = draft.job();
  const std::string id = draft.fields().require_text("video", 1, longest_id);
  const auto factor = static_cast<int>(draft.fields().whole("factor", 2, 4).value_or(2));
  draft.read_title();
  draft.fields().finish();
  const jobs::Job source = draft.finished_job(id, "video");
  take_format(source, job);
  job.settings.width *= factor;
  job.settings.height *= factor;
  if (std::max(job.settings.width, job.settings.height) > longest_side)
    throw bad_field("factor", "The video would be larger than 8192 pixels; take a smaller factor");
  job.prompt = source.prompt;
  job.settings.seed = source.settings.seed;
  const std::string input = input_of(draft, source);
  if (const auto* upscaler = context.catalog.upscaler();
      upscaler && caller_of(request).may_use(upscaler->name) && enlarges(upscaler->limits, source)) {
    job.model = job.requested_model = upscaler->name;
    job.settings.upscaled_by = "model";
    job.settings.video = input;
    job.settings.parts = {{.input = ""}};  // what the model makes, brought to the size where that is not twice
  } else {
    job.settings.upscaled_by = "resize";
    job.settings.parts = {{.input = input}};
  }
  take_length(context, {source}, "video", job);
  return video_response(context, draft.submit());
}

//! The model makes what leads from the end of the first to the beginning of the second; both ends fade into it.
void blend_by_conditions(const jobs::Job& first, const jobs::Job& second, double seconds, JobDraft& draft) {
  draft.take_shape_of(first);
  const std::string from = input_of(draft, first), to = input_of(draft, second);
  plan_transition(draft.model(), {from, frames_of(first), {}}, {to, frames_of(second), {}}, seconds, draft.job());
}

Response blend(const Context& context, Request& request) {
  constexpr size_t longest_id = 200;
  JobDraft draft(context, request, jobs::JobKind::blend);
  jobs::NewJob& job = draft.job();
  draft.read_common(false);
  draft.read_title();
  const std::string first_id = draft.fields().require_text("first", 1, longest_id);
  const std::string second_id = draft.fields().require_text("second", 1, longest_id);
  const auto seconds = draft.fields().number("seconds", 0.01, longest_crossfade);
  if (!seconds) throw missing_field("seconds");
  const jobs::Job first = draft.finished_job(first_id, "first"), second = draft.finished_job(second_id, "second");
  const bool asked = draft.fields().has("model");
  const auto* model = context.catalog.find(first.model);
  if (asked || (model && model->limits.takes_conditions && caller_of(request).may_use(first.model)))
    draft.read_model(first.model);
  if (job.prompt.empty()) job.prompt = second.prompt.empty() ? first.prompt : second.prompt;
  input_of(draft, first);
  if (!job.model.empty() && draft.model().limits.takes_conditions) {
    blend_by_conditions(first, second, *seconds, draft);
    require_length(context, job.seconds, "seconds");
  } else {
    job.model.clear();
    take_format(first, job);
    job.settings.joined_by = "crossfade";
    job.settings.parts = {{.input = "clip-1"}, {.input = input_of(draft, second), .crossfade = *seconds}};
    take_length(context, {first, second}, "seconds", job);
    job.charged_seconds = 0;
  }
  return video_response(context, draft.submit());
}

}  // namespace

void require_length(const Context& context, double seconds, const std::string& param) {
  if (seconds > context.settings.max_seconds)
    throw bad_field(param, "The whole would be longer than the " + jobs::seconds_text(context.settings.max_seconds) +
                               " seconds that are allowed here");
}

void add_cut_routes(http::Router& router, const Context& c) {
  const std::string videos = "/prax/v1/videos/";
  router.add({"POST", videos + "cut", [&c](Request& r) { return cut(c, r); }, json_body, scope::create});
  router.add({"POST", videos + "blend", [&c](Request& r) { return blend(c, r); }, json_body, scope::create});
  router.add({"POST", videos + "upscale", [&c](Request& r) { return upscale(c, r); }, json_body, scope::create});
}

}  // namespace prax::server

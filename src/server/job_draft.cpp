#include "server/job_draft.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/hash.h"
#include "server/errors.h"

namespace prax::server {
namespace {

using nlohmann::json;

constexpr int64_t most_steps = 1000, most_side = 16'384, most_frames = 100'000;

bool parse_side(std::string_view text, int& side) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), side);
  return error == std::errc() && end == text.data() + text.size() && side > 0 && side <= most_side;
}

//! What the catalogue says against a shape, as an error of the fields that gave it.
template <typename Call>
jobs::Shape shape_or_refuse(const std::string& param, const Call& call) {
  try {
    return call();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::usage) throw;
    throw bad_field(param, sentence(error));
  }
}

[[noreturn]] void refuse(const jobs::Accepted& accepted) {
  using jobs::Refusal;
  constexpr const char* soon = "10";
  switch (accepted.refusal) {
    case Refusal::queue_full:
      throw http::HttpError(503, "queue_full", accepted.reason).with("retry-after", soon);
    case Refusal::key_queue_full:
      throw http::HttpError(429, "queue_limit_exceeded", accepted.reason).with("retry-after", soon);
    case Refusal::daily_budget:
      throw http::HttpError(429, "insufficient_quota", accepted.reason).with("x-should-retry", "false");
    case Refusal::storage_full:
      throw http::HttpError(507, "storage_full", accepted.reason).with("x-should-retry", "false");
    case Refusal::idempotency_mismatch:
      throw conflict("idempotency_mismatch", accepted.reason);
    case Refusal::priority:
      throw http::HttpError(403, "priority_not_allowed", accepted.reason, "priority");
    case Refusal::none:
      break;
  }
  throw Error(ErrorKind::internal, "a job was refused without a reason");
}

}  // namespace

JobDraft::JobDraft(const Context& context, http::Request& request, jobs::JobKind kind)
    : context_(context), request_(request), caller_(caller_of(request)), form_(request), fields_(form_, form_.tree()) {
  require_running(context);
  job_.id = jobs::new_job_id();
  job_.key_id = caller_.key_id;
  job_.kind = kind;
  job_.request_id = request.id;
  if (const auto key = request.headers.find("idempotency-key")) {
    constexpr size_t longest = 255;
    if (key->empty() || key->size() > longest)
      throw http::HttpError(400, "invalid_idempotency_key", "The Idempotency-Key must have 1 to 255 characters");
    job_.idempotency_key = *key;
    job_.request_hash = hash_of_request();
  }
}

std::string JobDraft::hash_of_request() {
  json tree = form_.tree();
  const std::function<void(json&)> replace_files = [&](json& node) {
    if (http::Part* part = form_.file(node)) {
      node = "sha256:" + hex(sha256_of_file(part->content.file()->path()));
    } else if (node.is_structured()) {
      for (json& child : node) replace_files(child);
    }
  };
  replace_files(tree);
  const std::string text =
      request_.method + " " + request_.path + "\n" + tree.dump(-1, ' ', false, json::error_handler_t::replace);
  return hex(sha256(text));
}

void JobDraft::read_common(bool needs_prompt) {
  jobs::Settings& settings = job_.settings;
  job_.prompt = needs_prompt ? fields_.require_text("prompt", 1, most_prompt_characters)
                             : fields_.text("prompt", 0, most_prompt_characters).value_or("");
  settings.negative_prompt = fields_.text("negative_prompt", 0, most_prompt_characters).value_or("");
  constexpr int64_t largest_seed = 4'294'967'295;
  const auto seed = fields_.whole("seed", 0, largest_seed);
  settings.seed = seed ? static_cast<uint64_t>(*seed) : random_seed();
  if (const std::string name = fields_.one_of({"steps", "num_inference_steps"}); !name.empty())
    settings.steps = fields_.whole(name, 1, most_steps);
  constexpr double most_guidance = 100;
  if (const std::string name = fields_.one_of({"guidance_scale", "guidance"}); !name.empty())
    settings.guidance = fields_.number(name, 0, most_guidance);
  settings.strength = fields_.number("strength", 0, 1);
  if (const auto dtype = fields_.text("dtype", 1, 8)) {
    if (*dtype != "bf16" && *dtype != "int8" && *dtype != "f32")
      throw bad_field("dtype", "'dtype' must be bf16, int8 or f32");
    settings.dtype = *dtype;
  }
  if (const json* extra = fields_.raw("extra_params")) {
    if (!extra->is_object()) throw bad_field("extra_params", "'extra_params' must be an object", "invalid_type");
    constexpr size_t most_bytes = 64 * 1024;  // they are kept with the video and read with each list of videos
    if (extra->dump(-1, ' ', false, json::error_handler_t::replace).size() > most_bytes)
      throw bad_field("extra_params", "'extra_params' may take at most 64 KiB");
    settings.arguments = *extra;
  }
  read_loras();
  read_metadata();
  constexpr int64_t most_priority = 100;
  job_.priority = static_cast<int>(fields_.whole("priority", 0, most_priority).value_or(0));
  constexpr size_t longest_url = 2048;
  if (const auto url = fields_.text("webhook_url", 1, longest_url)) {
    try {
      check_url(*url, context_.webhook_rules());
    } catch (const Error& error) {
      throw bad_field("webhook_url", sentence(error));
    }
    job_.webhook_url = *url;
  }
}

void JobDraft::read_loras() {
  constexpr size_t most = 16;
  constexpr double largest_weight = 10;
  const std::string field = fields_.one_of({"loras", "lora"});
  if (field.empty()) return;
  size_t index = 0;
  for (const json* element : fields_.list(field, most)) {
    const std::string path = field + "[" + std::to_string(index++) + "]";
    jobs::NamedLora lora;
    if (element->is_string()) {
      lora.name = element->get<std::string>();
    } else {
      FieldReader reader(form_, *element, path);
      const std::string name = reader.one_of({"id", "name"});
      if (name.empty()) throw missing_field(path + ".id");
      lora.name = reader.require_text(name, 1, 200);
      if (const std::string weight = reader.one_of({"weight", "w", "scale"}); !weight.empty())
        lora.weight = reader.number(weight, -largest_weight, largest_weight).value_or(1.0);
      reader.finish();
    }
    if (!context_.catalog.lora(lora.name))
      throw bad_field(path, "There is no LoRA '" + lora.name.substr(0, 100) + "' on this server");
    job_.settings.loras.push_back(std::move(lora));
  }
}

void JobDraft::read_metadata() {
  const json* metadata = fields_.raw("metadata");
  if (!metadata) return;
  constexpr size_t most_entries = 16, longest_key = 64, longest_value = 512;
  FieldReader reader(form_, *metadata, "metadata");
  if (metadata->size() > most_entries) throw bad_field("metadata", "'metadata' may have 16 entries");
  for (const auto& [key, value] : metadata->items()) {
    if (count_characters(key) > longest_key) throw bad_field("metadata", "A key of 'metadata' may have 64 characters");
    reader.text(key, 0, longest_value);
    job_.metadata[key] = value;
  }
}

const jobs::ModelCatalog::Resolved& JobDraft::read_model(const std::string& usual) {
  constexpr size_t longest = 200;
  job_.requested_model = fields_.text("model", 1, longest).value_or(usual);
  const auto resolved = context_.catalog.resolve(job_.requested_model);
  if (!resolved) {
    const std::string near = context_.catalog.nearest(job_.requested_model);
    throw bad_field(
        "model",
        "There is no model '" + job_.requested_model + "' on this server" +
            (near.empty() ? "; GET /v1/models lists those that there are" : "; did you mean '" + near + "'?"),
        "model_not_found");
  }
  resolved_ = *resolved;
  job_.model = resolved_.model->name;
  if (!caller_.may_use(job_.model))
    throw http::HttpError(403, "model_not_allowed", "This key may not use the model '" + job_.model + "'", "model");
  return resolved_;
}

std::optional<double> JobDraft::read_seconds() {
  const json* value = fields_.raw("seconds");
  if (!value) return std::nullopt;
  double seconds = 0;
  bool readable = value->is_number();
  if (readable) seconds = value->get<double>();
  if (const auto* text = value->get_ptr<const std::string*>()) {
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), seconds);
    readable = error == std::errc() && end == text->data() + text->size() && !text->empty();
  }
  if (!readable) throw bad_field("seconds", "'seconds' must be a number, like \"4\"", "invalid_type");
  if (!(seconds > 0 && seconds <= context_.settings.max_seconds))
    throw bad_field("seconds",
                    "'seconds' must be above 0 and at most " + jobs::seconds_text(context_.settings.max_seconds));
  return seconds;
}

void JobDraft::read_shape() {
  jobs::WantedShape wanted;
  constexpr size_t longest = 20;
  if (const auto size = fields_.text("size", 1, longest)) {
    const size_t x = size->find('x');
    int width = 0, height = 0;
    if (x == std::string::npos || !parse_side(std::string_view(*size).substr(0, x), width) ||
        !parse_side(std::string_view(*size).substr(x + 1), height))
      throw bad_field("size", "'size' must be WIDTHxHEIGHT in pixels, like 1280x720");
    wanted.width = width;
    wanted.height = height;
  }
  wanted.seconds = read_seconds();
  wanted.frames = fields_.whole("num_frames", 1, most_frames);
  constexpr double least_fps = 1, most_fps = 120;
  wanted.fps = fields_.number("fps", least_fps, most_fps);
  const std::string param = wanted.width ? "size" : wanted.frames ? "num_frames" : wanted.seconds ? "seconds" : "size";
  set_shape(shape_or_refuse(param, [&] {
    return resolved_.by_alias ? jobs::ModelCatalog::snapped(model(), wanted)
                              : jobs::ModelCatalog::exact(model(), wanted);
  }));
}

void JobDraft::set_shape(const jobs::Shape& shape) {
  jobs::Settings& settings = job_.settings;
  settings.width = shape.width;
  settings.height = shape.height;
  settings.frames = shape.frames;
  settings.fps = shape.fps;
  job_.seconds = job_.charged_seconds = shape.seconds();
  if (job_.seconds > context_.settings.max_seconds)
    throw bad_field("seconds",
                    "A video may have at most " + jobs::seconds_text(context_.settings.max_seconds) + " seconds here");
}

void JobDraft::take_shape_of(const CheckedMedia& clip) {
  jobs::WantedShape wanted{static_cast<int>(clip.width), static_cast<int>(clip.height), {}, clip.frames, {}};
  if (clip.fps >= 1) wanted.fps = clip.fps;
  set_shape(shape_or_refuse("video", [&] { return jobs::ModelCatalog::snapped(model(), wanted); }));
}

void JobDraft::take_shape_of(const jobs::Job& source) {
  const jobs::Settings& made = source.settings;
  const jobs::WantedShape wanted{made.width, made.height, {}, frames_of(source), made.fps};
  set_shape(shape_or_refuse("video", [&] { return jobs::ModelCatalog::snapped(model(), wanted); }));
}

jobs::Job JobDraft::finished_job(const std::string& id, const std::string& param) {
  jobs::Job source = find_job(context_, caller_, id);
  if (source.status != jobs::JobStatus::completed)
    throw bad_field(
        param, "The video '" + source.id + "' is not completed; its status is " + std::string(name_of(source.status)),
        "video_not_ready");
  if (source.expired) throw bad_field(param, "The video '" + source.id + "' has expired", "video_expired");
  return source;
}

void JobDraft::take_result(const jobs::Job& source, const std::string& name) {
  const auto* result = jobs::find_result(source.results, "video");
  if (!result) throw bad_field("video", "The video '" + source.id + "' has no file any more");
  if (!job_.source_id)
    job_.source_id = source.id;
  else if (*job_.source_id != source.id)
    job_.more_sources.push_back({source.id, std::string(name_of(job_.kind))});
  job_.inputs.push_back({name, result->storage_name, result->media_type, result->bytes, result->sha256});
}

jobs::Job JobDraft::submit() {
  fields_.finish();
  uint64_t bytes = 0;
  for (const auto& [name, media] : uploads_) bytes += media.bytes;
  reserve(bytes);
  try {
    for (auto& [name, media] : uploads_) job_.inputs.push_back(store_input(context_, job_.id, name, media));
    const auto accepted = accept_jobs(context_, {job_});
    if (accepted.replayed && !uploads_.empty()) context_.storage.remove_folder("inputs/" + job_.id);
    return *accepted.job;
  } catch (...) {
    try {
      if (!uploads_.empty()) context_.storage.remove_folder("inputs/" + job_.id);
    } catch (const Error&) {  // the first error is what matters
    }
    throw;
  }
}

void JobDraft::read_again() {
  constexpr size_t longest = 200;
  const auto id = fields_.text("again_of", 1, longest);
  if (id) job_.more_sources.push_back({find_job(context_, caller_, *id).id, "again"});
}

void JobDraft::read_title() { job_.title = fields_.text("title", 0, longest_title).value_or(""); }

jobs::Accepted accept_jobs(const Context& context, const std::vector<jobs::NewJob>& jobs) {
  jobs::Admission admission;
  admission.max_queued = context.settings.max_queued;
  admission.max_stored_bytes = context.settings.quota;
  auto accepted = context.store.create_jobs(jobs, admission);
  if (accepted.refusal != jobs::Refusal::none) refuse(accepted);
  return accepted;
}

void require_running(const Context& context) {
  if (context.draining)
    throw http::HttpError(503, "draining", "The server is about to stop; try again in a moment")
        .with("retry-after", "5");
}

uint64_t random_seed() {
  uint32_t seed = 0;
  const auto bytes = random_bytes(sizeof seed);
  std::memcpy(&seed, bytes.data(), sizeof seed);
  return seed;
}

int64_t frames_of(const jobs::Job& job) { return std::llround(job.seconds * job.settings.fps) + 1; }

void plan_extension(const jobs::CatalogModel& model, int64_t clip_frames, double seconds, jobs::NewJob& job) {
  const pipelines::Limits& limits = model.limits;
  jobs::Settings& settings = job.settings;
  const auto group = static_cast<double>(limits.frame_group);
  const int64_t seen = pipelines::context_frames(limits, clip_frames);
  const int64_t most = std::max<int64_t>(1, (limits.most_frames - seen) / limits.frame_group);
  const int64_t wanted = std::max<int64_t>(1, std::llround(seconds * settings.fps / group));
  const int64_t added = std::min(wanted, most) * limits.frame_group;
  settings.frames = seen + added;
  job.charged_seconds = static_cast<double>(added) / settings.fps;
  job.seconds = static_cast<double>(clip_frames + added - 1) / settings.fps;
  if (!settings.before) return;
  // The new part leads to the clip's first frames, which fade into it.
  settings.extend.clear();
  settings.conditions.push_back({.input = "video", .frame = added, .strength = 1.0, .from = 0, .count = seen});
  settings.parts = {{}, {.input = "video", .crossfade = static_cast<double>(seen) / settings.fps}};
}

void plan_transition(const jobs::CatalogModel& model, const KeptClip& first, const KeptClip& second, double seconds,
                     jobs::NewJob& job) {
  const pipelines::Limits& limits = model.limits;
  jobs::Settings& settings = job.settings;
  const int64_t before = pipelines::context_frames(limits, first.frames);
  const int64_t after = pipelines::context_frames(limits, second.frames);
  const int64_t group = limits.frame_group;
  const int64_t most = (limits.most_frames - before - after + limits.frame_offset) / group;
  const int64_t wanted = std::llround(seconds * settings.fps / static_cast<double>(group));
  const int64_t made = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, most)) * group;
  // The second's frames begin at a whole group behind the first's.
  const int64_t place = before - limits.frame_offset + made;
  settings.frames = place + after;
  settings.conditions = {{.input = first.input,
                          .frame = 0,
                          .strength = 1.0,
                          .from = first.end ? first.frames - before : -before,
                          .count = before},
                         {.input = second.input, .frame = place, .strength = 1.0, .from = 0, .count = after}};
  const auto fade = [&](int64_t frames) { return static_cast<double>(frames) / settings.fps; };
  settings.parts = {{.input = first.input, .end = first.end},
                    {.input = "", .crossfade = fade(before)},
                    {.input = second.input, .end = second.end, .crossfade = fade(after)}};
  settings.joined_by = "conditions";
  const int64_t added = settings.frames - before - after;
  job.charged_seconds = fade(std::max<int64_t>(added, 0));
  job.seconds = fade(first.frames + added + second.frames - 1);
}

jobs::Job find_job(const Context& context, const Caller& caller, const std::string& id) {
  const auto job = context.store.job(id);
  if (!job || !caller.sees(job->key_id)) throw not_found("video", id);
  return *job;
}

}  // namespace prax::server

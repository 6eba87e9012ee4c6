#include "jobs/render_job.h"

#include <algorithm>

#include "base/error.h"
#include "base/paths.h"
#include "base/suggest.h"
#include "media/clip.h"
#include "media/pixels.h"
#include "media/reader.h"
#include "media/writer.h"
#include "pipelines/clip_files.h"
#include "pipelines/compute_dtype.h"

namespace prax::jobs {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

//! Where a placed input is: the input itself, or the frames of it that were cut out.
fs::path placed_path(const Job& job, const PlacedInput& placed, const fs::path& inputs) {
  if (placed.count == 0) return input_path(inputs, input_named(job, placed.input));
  return inputs / (placed.input + (placed.from < 0 ? "-last" : "-from") + std::to_string(std::abs(placed.from)) + "-" +
                   std::to_string(placed.count));
}

pipelines::Intent intent_of(const Job& job, const fs::path& inputs) {
  const Settings& s = job.settings;
  const auto file = [&](const std::string& name) { return input_path(inputs, input_named(job, name)); };
  pipelines::Intent intent;
  if (!s.image.empty()) intent.image = file(s.image);
  if (!s.video.empty()) intent.video = file(s.video);
  if (!s.extend.empty()) intent.extend = file(s.extend);
  for (const PlacedInput& c : s.conditions)
    intent.conditions.push_back({placed_path(job, c, inputs), c.frame, c.strength});
  for (const PromptShot& shot : s.shots) intent.shots.push_back({shot.prompt, shot.seconds});
  intent.strength = s.strength;
  intent.loop = s.loop;
  return intent;
}

pipelines::Request request_of(const Job& job, const CatalogModel& model) {
  const Settings& s = job.settings;
  pipelines::Request request;
  request.prompt = job.prompt;
  request.negative_prompt = s.negative_prompt;
  request.seed = s.seed;
  json& a = request.arguments = s.arguments;
  const auto put = [&](const char* name, const json& value) {
    if (a.contains(name))
      throw Error(ErrorKind::usage, std::string(name) + " was given twice", "give it once: as a setting of its own");
    a[name] = value;
  };
  if (s.fps > 0) put("frame_rate", s.fps);
  if (s.upscaled_by == "model") return request;  // its clip says the rest
  if (s.width > 0) put("width", s.width);
  if (s.height > 0) put("height", s.height);
  if (s.frames > 0 && s.shots.empty()) put("num_frames", s.frames);
  if (const auto steps = s.steps ? s.steps : model.steps) put("num_inference_steps", *steps);
  if (s.guidance) put("guidance_scale", *s.guidance);
  return request;
}

}  // namespace

const InputFile& input_named(const Job& job, const std::string& name) {
  const auto it = std::find_if(job.inputs.begin(), job.inputs.end(), [&](const auto& i) { return i.name == name; });
  if (it == job.inputs.end())
    throw Error(ErrorKind::input, "the job has no input '" + name + "'",
                "hand the picture or clip in with the request");
  return *it;
}

void cut_placed_inputs(const Job& job, const fs::path& inputs) {
  for (const PlacedInput& placed : job.settings.conditions) {
    const fs::path target = placed_path(job, placed, inputs);
    if (std::error_code ignored; placed.count == 0 || fs::exists(target, ignored)) continue;
    const fs::path source = input_path(inputs, input_named(job, placed.input));
    const media::VideoInfo info = media::probe(source);
    media::ClipOptions options;
    options.start_frame = std::max<int64_t>(0, placed.from < 0 ? info.frames + placed.from : placed.from);
    options.max_frames = placed.count;
    media::ClipReader reader(source, options);
    const auto sink = media::open_writer(target);
    sink->begin({info.width, info.height, std::min(placed.count, info.frames - options.start_frame), info.fps});
    std::vector<float> rgb;
    while (const auto picture = reader.next()) {
      media::to_floats(picture->rgb, rgb);
      sink->frame(rgb);
    }
    sink->finish();
  }
}

std::vector<media::CutPart> joined_parts(const Job& job, const fs::path& inputs, const fs::path& made) {
  std::vector<media::CutPart> parts;
  for (const JoinedPart& part : job.settings.parts)
    parts.push_back({part.input.empty() ? made : input_path(inputs, input_named(job, part.input)), part.start, part.end,
                     part.crossfade});
  return parts;
}

fs::path input_path(const fs::path& inputs, const InputFile& input) {
  const std::string& type = input.media_type;
  const size_t slash = type.find('/');
  std::string ending = slash == std::string::npos ? "bin" : type.substr(slash + 1);
  if (ending == "quicktime") ending = "mov";
  if (ending == "x-matroska") ending = "mkv";
  const auto odd = [](char c) { return !std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_'; };
  if (input.name.empty() || std::any_of(input.name.begin(), input.name.end(), odd) ||
      std::any_of(ending.begin(), ending.end(), odd))
    throw Error(ErrorKind::input, "the input '" + input.name + "' (" + type + ") has no usable name",
                "use letters, digits, '-' and '_'");
  return inputs / (input.name + "." + ending);
}

JobPlan plan_job(const Job& job, const ModelCatalog& catalog, const fs::path& inputs) {
  const CatalogModel* model = catalog.find(job.model);
  if (!model)
    throw Error(ErrorKind::checkpoint, "the model " + job.model + " is not here any more",
                "tell the operator, or ask for another model");
  JobPlan plan;
  plan.model = resolve_model(model->folder);
  plan.dtype = job.settings.dtype.empty() ? model->dtype : job.settings.dtype;
  plan.load.dtype = pipelines::compute_dtype(plan.dtype);
  plan.load.variant = model->variant;
  for (const NamedLora& lora : job.settings.loras) {
    const fs::path* file = catalog.lora(lora.name);
    if (!file) throw Error(ErrorKind::usage, "there is no LoRA '" + lora.name + "' here", "see the list of LoRAs");
    plan.load.loras.push_back({*file, lora.weight});
  }
  plan.plan = pipelines::make_plan(plan.model, intent_of(job, inputs), request_of(job, *model));
  plan.load.reference_class = plan.plan.reference_class;
  return plan;
}

void move_paths(json& value, const std::string& from, const std::string& to) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (text.starts_with(from)) value = to + text.substr(from.size());
  }
  if (value.is_structured())
    for (json& part : value) move_paths(part, from, to);
}

}  // namespace prax::jobs

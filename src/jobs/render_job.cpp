#include "jobs/render_job.h"

#include <algorithm>

#include "base/error.h"
#include "base/paths.h"
#include "base/suggest.h"
#include "pipelines/clip_files.h"
#include "pipelines/compute_dtype.h"

namespace prax::jobs {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

const InputFile& input_named(const Job& job, const std::string& name) {
  const auto it = std::find_if(job.inputs.begin(), job.inputs.end(), [&](const auto& i) { return i.name == name; });
  if (it == job.inputs.end())
    throw Error(ErrorKind::input, "the job has no input '" + name + "'",
                "hand the picture or clip in with the request");
  return *it;
}

pipelines::Intent intent_of(const Job& job, const fs::path& inputs) {
  const Settings& s = job.settings;
  const auto file = [&](const std::string& name) { return input_path(inputs, input_named(job, name)); };
  pipelines::Intent intent;
  if (!s.image.empty()) intent.image = file(s.image);
  if (!s.video.empty()) intent.video = file(s.video);
  if (!s.extend.empty()) intent.extend = file(s.extend);
  for (const PlacedInput& c : s.conditions) intent.conditions.push_back({file(c.input), c.frame, c.strength});
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
  if (s.width > 0) put("width", s.width);
  if (s.height > 0) put("height", s.height);
  if (s.frames > 0 && s.shots.empty()) put("num_frames", s.frames);
  if (s.fps > 0) put("frame_rate", s.fps);
  if (const auto steps = s.steps ? s.steps : model.steps) put("num_inference_steps", *steps);
  if (s.guidance) put("guidance_scale", *s.guidance);
  return request;
}

}  // namespace

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

#include "pipelines/pyramid_flow/pyramid_flow_pipeline.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "pipelines/arguments.h"
#include "pipelines/pictures.h"
#include "tensor/memory.h"

namespace prax::pipelines::pyramid_flow {

namespace {

using nlohmann::json;

constexpr const char* transformer_prefix = "diffusion_transformer";
constexpr const char* vae_folder = "causal_video_vae";
//! What the authors append to every prompt, but not to the negative one.
constexpr const char* prompt_suffix = ", hyper quality, Ultra HD, 8K";
constexpr int64_t stages = 3;
constexpr double gigabyte = 1e9, most_gigabytes = 1e6;
constexpr int64_t small_tile = 256, large_tile = 512;
constexpr double usual_video_guidance = 7.0, usual_picture_guidance = 4.0;

std::vector<Argument> all_arguments() {
  std::vector<Argument> arguments{
      {"input_image", "picture", nullptr, "the first frame"},
      {"resize_mode", "string", "crop",
       "how a picture of another shape is made to fit: crop (as the authors' demo), "
       "default (stretched), fill"},
      {"model_variant", "string", nullptr,
       "folder of the transformer: diffusion_transformer_384p, _768p, _image; the "
       "one that suits the size where it is left out"},
      {"height", "int", nullptr, "pixels, a multiple of 64"},
      {"width", "int", nullptr, "pixels, a multiple of 64"},
      {"temp", "int", 1, "frames of latents: 1 is a picture, each further one makes 8 frames"},
      {"num_inference_steps", "int or ints", 28, "steps in each stage of the first frame; with a picture, of all"},
      {"video_num_inference_steps", "int or ints", 28, "steps in each stage of the other frames"},
      {"guidance_scale", "float", 7.0, "guidance of the first frame; 0 is without guidance"},
      {"video_guidance_scale", "float", nullptr, "guidance of the other frames (7, with a picture 4)"},
      {"min_guidance_scale", "float", 2.0, "with use_linear_guidance: where guidance stops to fall"},
      {"use_linear_guidance", "bool", false, "guidance falls by alpha with each frame of latents"},
      {"alpha", "float", 0.5, "with use_linear_guidance: by how much"},
      {"num_images_per_prompt", "int", 1, "the authors' code makes one"},
      {"save_memory", "bool", true, "with vae_tiling: tiles of 256 pixels in place of 512"},
      {"vae_tiling", "bool", false,
       "code pictures that are larger than a tile in overlapping tiles (enable_tiling); "
       "pictures then come when the last tile is decoded"},
      {"timestep_shift", "float", 1.0, "shift of the noise levels"},
      {"stage_range", "floats", json::array({0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0}), "where the stages meet"},
      {"scheduler_gamma", "float", 1.0 / 3.0, "of the noise that a stage begins with"},
      {"frame_rate", "float", 24.0, "frames a second"},
      {"stream", "bool", true,
       "decode each frame of latents when it is done, with the decoder's weights beside the "
       "denoiser's in memory; false: all of them at the end, in less memory"},
      {"history_memory", "float", 2.0,
       "GB for what later frames use again of earlier ones; saves time and changes "
       "nothing else"}};
  add_step_saving(arguments);
  return arguments;
}

//! "num_inference_steps" as one number a stage. Error(usage).
std::vector<int64_t> steps_of(const json& arguments, const char* name) {
  const json& value = arguments.at(name);
  constexpr int64_t most = 100000;
  std::vector<int64_t> steps;
  if (value.is_array()) {
    for (const json& each : value) steps.push_back(static_cast<int64_t>(each.get<double>()));
  } else {
    steps.assign(stages, static_cast<int64_t>(value.get<double>()));
  }
  if (static_cast<int64_t>(steps.size()) != stages)
    throw Error(ErrorKind::usage,
                std::string(name) + " has " + std::to_string(steps.size()) + " numbers for " + std::to_string(stages) +
                    " stages",
                "give one number, or one for each stage, like [20,20,20]");
  for (const int64_t n : steps)
    if (n < 1 || n > most)
      throw Error(ErrorKind::usage, std::string(name) + " is " + value.dump() + ", which cannot be",
                  "take 1 to " + std::to_string(most) + " steps in each stage");
  return steps;
}

//! [C, T, H, W] -> [1, C, T, H, W]
Tensor batched(const Tensor& t) {
  Shape shape = t.shape();
  shape.insert(shape.begin(), 1);
  return t.view(shape);
}
Tensor unbatched(const Tensor& t) { return t.view(Shape(t.shape().begin() + 1, t.shape().end())); }

Tensor list_of(const std::vector<double>& values) {
  const std::vector<float> floats(values.begin(), values.end());
  return Tensor::from<float>({static_cast<int64_t>(floats.size())}, floats);
}

std::string name_of(int64_t unit, int64_t stage) {
  return "unit" + std::to_string(unit) + ".stage" + std::to_string(stage);
}

Design design_of(const checkpoint::Folder& folder, const std::string& variant) {
  const std::string name = folder.config(variant).class_name();
  if (name == "PyramidFluxTransformer") return Design::flux;
  if (name == "PyramidDiffusionMMDiT") return Design::mmdit;
  throw Error(ErrorKind::checkpoint,
              (folder.path() / variant).string() + " is a \"" + name + "\", which is no transformer of Pyramid Flow",
              "these are PyramidFluxTransformer and PyramidDiffusionMMDiT");
}

bool is_guided(const Run& run) { return run.request.arguments.at("guidance_scale").get<double>() > 0; }

bool ends_in(const std::string& name, std::string_view ending) { return name.ends_with(ending); }

}  // namespace

PyramidFlowPipeline::PyramidFlowPipeline(const checkpoint::Folder& folder, const LoadOptions& options)
    : folder_(folder), options_(options), arguments_(all_arguments()) {
  for (const auto& component : folder_.components())
    if (component.name.starts_with(transformer_prefix)) variants_.push_back(component.name);
  if (variants_.empty())
    throw Error(ErrorKind::checkpoint, folder_.path().string() + " has no diffusion_transformer_384p, _768p or _image",
                "the download is incomplete; download one of these folders");
  if (!options_.upscaler.empty())
    throw Error(ErrorKind::usage, "Pyramid Flow has no latent upsampler", "leave --upscale out");
  apply_folder_defaults(folder_, arguments_);
  design_ = design_of(folder_, variants_.front());
  text_encoders();
  const auto vae = folder_.weights(vae_folder, options_.variant);
  vae_ = std::make_unique<models::pyramid_flow::Vae>(folder_.config(vae_folder), checkpoint::Weights(vae),
                                                     wide_dtype(options_.dtype));
  checkpoint::require_all_used(*vae);
}

TextEncoders& PyramidFlowPipeline::text_encoders() {
  if (!text_) text_ = std::make_unique<TextEncoders>(folder_, options_, design_);
  return *text_;
}

models::pyramid_flow::Transformer& PyramidFlowPipeline::transformer(const std::string& variant) {
  if (transformer_ && variant_ == variant) return *transformer_;
  if (std::find(variants_.begin(), variants_.end(), variant) == variants_.end()) {
    std::string names;
    for (const std::string& name : variants_) names += (names.empty() ? "" : ", ") + name;
    throw Error(ErrorKind::usage, "the model has no " + variant, "it has " + names);
  }
  transformer_.reset();
  const auto weights = folder_.weights(variant, options_.variant);
  const auto loras = options_.loras.empty() ? nullptr : checkpoint::LoraSet::open(options_.loras, options_.lora_mode);
  transformer_ = models::pyramid_flow::Transformer::make(
      folder_.config(variant), checkpoint::Weights(weights, {}, loras, options_.budget()), options_.dtype);
  checkpoint::require_all_used(*weights);
  if (loras) loras->require_all_used();
  const auto& sizes = transformer_->sizes();
  const auto expect = [&](const char* what, int64_t wanted, int64_t given) {
    if (wanted == given) return;
    transformer_.reset();
    throw Error(ErrorKind::checkpoint,
                folder_.path().string() + ": " + variant + " wants " + std::to_string(wanted) + " " + what +
                    ", the other components have " + std::to_string(given),
                "the components are not from the same checkpoint");
  };
  expect("channels of latents", sizes.latent_channels, vae_->config().latent_channels);
  expect("text channels", sizes.text_channels, text_encoders().text_channels());
  expect("pooled text channels", sizes.pooled_channels, text_encoders().pooled_channels());
  variant_ = variant;
  return *transformer_;
}

void PyramidFlowPipeline::choose_variant(json& a, bool with_picture) const {
  const auto find = [&](std::string_view ending) -> const std::string* {
    const auto it =
        std::find_if(variants_.begin(), variants_.end(), [&](const auto& name) { return ends_in(name, ending); });
    return it == variants_.end() ? nullptr : &*it;
  };
  constexpr int64_t small_pixels = 640 * 384;
  const bool sized = !a.at("width").is_null() && !a.at("height").is_null();
  if (a.at("model_variant").is_null()) {
    const bool picture = a.at("temp").get<int64_t>() == 1 && !with_picture;
    // Twice the pixels of 384p are nearer to 768p.
    const bool large = sized && a.at("width").get<int64_t>() * a.at("height").get<int64_t>() > 2 * small_pixels;
    const std::string* best = picture ? find("_image") : nullptr;
    if (!best) best = find(large ? "_768p" : "_384p");
    if (const std::string* other = find("_384p"); !best && large && other)
      throw Error(ErrorKind::usage,
                  a.at("width").dump() + "x" + a.at("height").dump() +
                      " is for diffusion_transformer_768p, which the folder does not have",
                  "download it, choose a size like 640x384, or insist with --set model_variant=" + *other);
    if (!best) best = find("_768p");
    a["model_variant"] = best ? *best : variants_.front();
  }
  const auto variant = a.at("model_variant").get<std::string>();
  const bool small = ends_in(variant, "_384p"), square = ends_in(variant, "_image");
  if (a.at("width").is_null()) a["width"] = small ? 640 : square ? 1024 : 1280;
  if (a.at("height").is_null()) a["height"] = small ? 384 : square ? 1024 : 768;
}

void PyramidFlowPipeline::check(const json& a, bool with_picture) const {
  constexpr int64_t most_pixels = 16384, most_frames = 1 << 16;
  const int64_t multiple = vae_->config().spatial_factor() * (int64_t{1} << (stages - 1)) * 2;
  for (const char* name : {"width", "height"}) {
    require_range(a, name, 1, most_pixels);
    if (const int64_t value = a.at(name).get<int64_t>(); value % multiple != 0)
      throw Error(ErrorKind::usage,
                  std::string(name) + " is " + std::to_string(value) + ", but this model makes multiples of " +
                      std::to_string(multiple),
                  "use " + nearest_multiples(value, multiple));
  }
  require_range(a, "temp", 1, most_frames);
  require_range(a, "num_images_per_prompt", 1, 1);
  steps_of(a, "num_inference_steps");
  steps_of(a, "video_num_inference_steps");
  const double rate = a.at("frame_rate").get<double>();
  if (!(rate > 0 && rate <= 1000))
    throw Error(ErrorKind::usage, "frame_rate is " + a.at("frame_rate").dump() + ", which cannot be", "use 1 to 1000");
  if (ends_in(a.at("model_variant").get<std::string>(), "_image") && (with_picture || a.at("temp").get<int64_t>() != 1))
    throw Error(ErrorKind::usage, a.at("model_variant").get<std::string>() + " makes single pictures only",
                "set temp to 1, or model_variant to diffusion_transformer_384p or _768p");
  if (const double memory = a.at("history_memory").get<double>(); !(memory >= 0 && memory <= most_gigabytes))
    throw Error(ErrorKind::usage, "history_memory is " + a.at("history_memory").dump() + ", which cannot be",
                "use 0 or more GB");
  media::fit_named(a.at("resize_mode").get<std::string>());
  check_step_saving(a);
  scheduler(a);
}

schedulers::PyramidFlowMatchScheduler PyramidFlowPipeline::scheduler(const json& a) const {
  schedulers::PyramidFlowMatchOptions options;
  options.shift = a.at("timestep_shift").get<double>();
  options.stages = stages;
  options.stage_range = a.at("stage_range").get<std::vector<double>>();
  options.gamma = a.at("scheduler_gamma").get<double>();
  return schedulers::PyramidFlowMatchScheduler(options);
}

models::pyramid_flow::VaeTiling PyramidFlowPipeline::tiling(const json& a) const {
  return {a.at("vae_tiling").get<bool>(), a.at("save_memory").get<bool>() ? small_tile : large_tile};
}

bool PyramidFlowPipeline::begins_with_picture(const Run& run) {
  return !run.request.arguments.at("input_image").is_null() || run.request.tensors.contains("input_image") ||
         run.state.contains("picture");
}

//! Steps of the stage that a place is in.
int64_t PyramidFlowPipeline::stage_steps(const Run& run, const Place& at) {
  const bool first = at.unit == 0 || begins_with_picture(run);
  return steps_of(run.request.arguments,
                  first ? "num_inference_steps" : "video_num_inference_steps")[static_cast<size_t>(at.stage)];
}

std::vector<PyramidFlowPipeline::Place> PyramidFlowPipeline::places(const Run& run) const {
  const int64_t units = run.request.arguments.at("temp").get<int64_t>();
  std::vector<Place> places;
  for (int64_t unit = begins_with_picture(run) ? 1 : 0; unit < units; ++unit)
    for (int64_t stage = 0; stage < stages; ++stage) {
      const int64_t steps = stage_steps(run, {unit, stage, 0});
      for (int64_t index = 0; index < steps; ++index) places.push_back({unit, stage, index});
    }
  return places;
}

Tensor PyramidFlowPipeline::encode_picture(Run& run, const Monitor& monitor) {
  const json& a = run.request.arguments;
  monitor.check();
  monitor.report("encode", 0, 1);
  media::Picture picture;
  if (const auto it = run.request.tensors.find("input_image"); it != run.request.tensors.end()) {
    const Tensor bytes = it->second.to(DType::f32);
    picture = media::Picture(static_cast<int>(bytes.dim(1)), static_cast<int>(bytes.dim(0)));
    for (size_t i = 0; i < picture.rgb.size(); ++i) picture.rgb[i] = static_cast<uint8_t>(bytes.data<float>()[i]);
  } else {
    picture = read_picture_argument(a.at("input_image"));
  }
  const Tensor pixels = media::to_model_range(media::resize_to_fit(
      picture, run.format.width, run.format.height, media::fit_named(a.at("resize_mode").get<std::string>())));
  models::pyramid_flow::VaeTiling tiles = tiling(a);
  tiles.tile_sample_min_size = small_tile;  // encode() is called without sizes
  const Tensor moments = vae_->encode(pixels.view({1, pixels.dim(0), pixels.dim(1), 3}), tiles);
  monitor.report("encode", 1, 1);
  // mean + exp(logvar / 2) noise, the log-variance clamped
  constexpr float least = -30.0f, most = 20.0f;
  const int64_t channels = moments.dim(0) / 2;
  const Tensor mean = moments.slice(0, channels), log_variance = moments.slice(channels, 2 * channels);
  const Tensor noise = run.global_generator.randn(batched(mean).shape());
  if (monitor.probe) monitor.probe("posterior_noise", noise);
  Tensor sample = Tensor::empty(mean.shape());
  for (int64_t i = 0; i < sample.numel(); ++i)
    sample.data<float>()[i] =
        mean.data<float>()[i] +
        std::exp(0.5f * std::clamp(log_variance.data<float>()[i], least, most)) * noise.data<float>()[i];
  return LatentScale(design_).normalize(sample);
}

Run PyramidFlowPipeline::begin(const Request& request, const Monitor& monitor) {
  Run run;
  run.request = request;
  require_utf8(request.prompt, "the prompt");
  require_utf8(request.negative_prompt, "the negative prompt");
  json& a = run.request.arguments;
  a = complete_arguments(request.arguments, arguments_);
  const bool with_picture = begins_with_picture(run);
  if (a.at("video_guidance_scale").is_null())
    a["video_guidance_scale"] = with_picture ? usual_picture_guidance : usual_video_guidance;
  choose_variant(a, with_picture);
  check(a, with_picture);
  transformer(a.at("model_variant").get<std::string>());

  const auto& vae = vae_->config();
  const int64_t temp = a.at("temp").get<int64_t>();
  const int64_t height = a.at("height").get<int64_t>(), width = a.at("width").get<int64_t>();
  run.format = {static_cast<int>(width), static_cast<int>(height), (temp - 1) * vae.temporal_factor() + 1,
                a.at("frame_rate").get<double>()};
  // The authors' demos seed torch's global generator and draw everything from it; a generator of its own, which is what
  // a global seed beside the seed stands for, is for the initial noise.
  run.generator = Generator(request.seed);
  run.global_generator = Generator(request.global_seed.value_or(request.seed));
  Generator& initial = request.global_seed ? run.generator : run.global_generator;
  Tensor noise =
      initial.randn({1, vae.latent_channels, temp, height / vae.spatial_factor(), width / vae.spatial_factor()});
  if (monitor.probe) monitor.probe("initial_noise", noise);
  // Noise of the lowest resolution with the variance of noise: the mean of four times two.
  constexpr float variance_factor = 2;
  for (int64_t i = 1; i < stages; ++i) noise = schedulers::halve_resolution(noise, variance_factor);
  run.state["noise"] = unbatched(noise);
  if (with_picture) {
    run.state["picture"] = Tensor::full({1}, 1.0f);
    run.state["clean"] = encode_picture(run, monitor);
  }
  run.latents = batched(frames_of(unbatched(noise), 0, 1));
  run.steps = static_cast<int64_t>(places(run).size());
  return run;
}

void PyramidFlowPipeline::require_own(const Run& run) const {
  const json& a = run.request.arguments;
  complete_arguments(a, arguments_);
  for (const Argument& argument : arguments_)
    if (!a.contains(argument.name))
      throw Error(ErrorKind::input, "the run has no " + argument.name, "it was begun with another model or version");
  check(a, begins_with_picture(run));
  const int64_t channels = vae_->config().latent_channels, factor = vae_->config().spatial_factor();
  const int64_t height = a.at("height").get<int64_t>() / factor, width = a.at("width").get<int64_t>() / factor;
  const auto fits = [&](const char* name, const Shape& wanted, bool any_frames) {
    const auto it = run.state.find(name);
    if (it == run.state.end()) return false;
    Shape shape = it->second.shape();
    if (any_frames && shape.size() == wanted.size()) shape[1] = wanted[1];
    return shape == wanted && it->second.dtype() == DType::f32;
  };
  const int64_t shrink = int64_t{1} << (stages - 1);
  const bool own = fits("noise", {channels, a.at("temp").get<int64_t>(), height / shrink, width / shrink}, false) &&
                   (!run.state.contains("clean") || fits("clean", {channels, 1, height, width}, true)) &&
                   run.latents.rank() == 5 && run.latents.dim(1) == channels && run.latents.dtype() == DType::f32 &&
                   run.steps == static_cast<int64_t>(places(run).size()) && run.step >= 0 && run.step <= run.steps;
  if (!own)
    throw Error(ErrorKind::input, "the run's latents are not this model's",
                "go on with the model that the run was "
                "begun with");
}

double PyramidFlowPipeline::guidance_of(const Run& run, int64_t unit) const {
  const json& a = run.request.arguments;
  const double scale = a.at("guidance_scale").get<double>();
  if (a.at("use_linear_guidance").get<bool>())
    return std::max(scale - a.at("alpha").get<double>() * static_cast<double>(unit),
                    a.at("min_guidance_scale").get<double>());
  return unit == 0 ? scale : a.at("video_guidance_scale").get<double>();
}

bool PyramidFlowPipeline::guides(const Run& run, const Place& at) {
  int64_t index = at.index, count = 0;
  for (int64_t stage = 0; stage < stages; ++stage) {
    const int64_t steps = stage_steps(run, {at.unit, stage, 0});
    count += steps;
    if (stage < at.stage) index += steps;
  }
  return is_guided(run) && guides_at(run.request.arguments, index, count);
}

//! The velocities of the noisy frame, one a prompt.
Tensor PyramidFlowPipeline::predict(const Run& run, const Place& at,
                                    std::span<const models::pyramid_flow::Context> contexts, double timestep,
                                    HistoryCache& history, StepCache& cache, const Monitor& monitor) {
  const auto clean = run.state.find("clean");
  const int64_t settled = clean == run.state.end() ? 0 : settled_frames(clean->second.dim(1), at.stage);
  std::vector<Tensor> velocities;
  for (size_t i = 0; i < contexts.size(); ++i) {
    const auto& runs = contexts[i].sequence.runs();
    const size_t item = contexts.size() - 1 - i;  // 0 for the prompt, 1 for the negative prompt
    auto& known = history.at(at.stage, at.index, item);
    const int64_t keep = history.grant(known, settled == 0 ? 0 : runs[static_cast<size_t>(settled) - 1].end,
                                       transformer_->key_value_bytes());
    velocities.push_back(batched(cache.call(static_cast<int64_t>(item), run.latents, [&](nn::BlockCache* blocks) {
      return (*transformer_)(
          contexts[i], unbatched(run.latents), static_cast<float>(timestep), [&] { monitor.check(); }, &known, keep,
          blocks);
    })));
    history.give_back(known, keep, transformer_->key_value_bytes());
  }
  return velocities.size() == 1 ? velocities[0] : Tensor::concat(velocities, 0);
}

//! The negative prompt, where there is guidance, and the prompt.
std::vector<Prompt> PyramidFlowPipeline::encode_prompts(const Run& run, const Monitor& monitor) {
  monitor.report("text", 0, 1);
  const std::string prompt = run.request.prompt + prompt_suffix;
  std::vector<Prompt> prompts =
      text_encoders().encode(is_guided(run) ? std::vector{prompt, run.request.negative_prompt} : std::vector{prompt},
                             {"prompt", "negative"}, monitor);
  std::reverse(prompts.begin(), prompts.end());
  text_.reset();
  release_cached_memory();
  return prompts;
}

void PyramidFlowPipeline::denoise(Run& run, const Monitor& monitor) {
  take_steps(run, monitor, [](const Run&) {});
}

void PyramidFlowPipeline::generate(Run& run, const OpenSink& open, const Monitor& monitor) {
  require_own(run);
  const json& a = run.request.arguments;
  if (!a.at("stream").get<bool>() || tiling(a).enabled) return Pipeline::generate(run, open, monitor);
  std::unique_ptr<media::FrameSink> sink;
  std::optional<PictureStream> pictures;
  take_steps(run, monitor, [&](const Run& now) {
    if (!sink) {
      sink = open(0);
      pictures.emplace(*vae_, LatentScale(design_), now.format, a.at("temp").get<int64_t>(), *sink, monitor);
    }
    pictures->catch_up(now.state.at("clean"));
  });
  require_finished(run);
  pictures->finish();
}

void PyramidFlowPipeline::take_steps(Run& run, const Monitor& monitor, const OnFrames& on_frames) {
  require_own(run);
  const json& a = run.request.arguments;
  const auto plan = places(run);
  const auto schedule = scheduler(a);
  const bool begun = run.state.contains("clean");
  if (run.step == run.steps && begun) on_frames(run);
  if (run.step < run.steps) {
    transformer(a.at("model_variant").get<std::string>());
    const std::vector<Prompt> prompts = encode_prompts(run, monitor);
    if (begun) on_frames(run);
    monitor.report("denoise", run.step, run.steps);
    HistoryCache known(static_cast<int64_t>(a.at("history_memory").get<double>() * gigabyte));
    StepCache cache(run);
    schedulers::PyramidFlowMatchScheduler::Steps steps;
    std::vector<models::pyramid_flow::Context> contexts;  // of the prompts, in this stage
    while (run.step < run.steps) {
      monitor.check();
      const Place at = plan[static_cast<size_t>(run.step)];
      const std::string name = name_of(at.unit, at.stage);
      if (at.index == 0) enter(run, at, schedule, monitor);
      if (at.index == 0 || contexts.empty()) {
        steps = schedule.steps(at.stage, stage_steps(run, at));
        const std::vector<Tensor> history =
            run.state.contains("clean") ? history_of(run.state.at("clean"), at.stage, stages) : std::vector<Tensor>{};
        contexts.clear();
        for (const Prompt& prompt : prompts)
          contexts.push_back(transformer_->prepare(history, unbatched(run.latents).shape(),
                                                   prompt.embeds.slice(0, prompt.tokens()), prompt.pooled));
        if (at.index == 0) cache.clear();
        cache.recall(run.step - at.index, std::ssize(contexts), run.latents.shape(),
                     [&](int64_t item, int64_t step, const Tensor& latents) {
                       const double timestep = steps.timesteps[static_cast<size_t>(at.index + step - run.step)];
                       cache.call(item, latents, [&](nn::BlockCache* blocks) {
                         return (*transformer_)(
                             contexts[contexts.size() - 1 - static_cast<size_t>(item)], unbatched(latents),
                             static_cast<float>(timestep), [&] { monitor.check(); }, nullptr, 0, blocks);
                       });
                     });
        if (monitor.probe && at.index == 0) {
          monitor.probe(name + ".timesteps", list_of(steps.timesteps));
          monitor.probe(name + ".sigmas", list_of(steps.sigmas));
          for (size_t i = 0; i < history.size(); ++i)
            monitor.probe(name + ".history" + std::to_string(i), batched(history[i]));
          monitor.probe(name + ".start", run.latents);
        }
      }
      const std::string step_name = name + ".step" + std::to_string(at.index);
      const bool guided = guides(run, at);
      if (!guided) cache.clear(1);
      const Tensor predicted = predict(run, at, std::span(contexts).last(guided ? contexts.size() : 1),
                                       steps.timesteps[static_cast<size_t>(at.index)], known, cache, monitor);
      if (monitor.probe) monitor.probe(step_name + ".model_output", predicted);
      Tensor velocity = predicted.slice(0, 1);
      if (guided) {
        const auto scale = static_cast<float>(guidance_of(run, at.unit));
        velocity = velocity.clone();
        const float* text = predicted.data<float>() + velocity.numel();
        for (int64_t i = 0; i < velocity.numel(); ++i) {
          float& v = velocity.data<float>()[i];
          v += scale * (text[i] - v);
        }
      }
      run.latents = schedulers::PyramidFlowMatchScheduler::step(steps, at.index, velocity, run.latents);
      ++run.step;
      if (run.step == run.steps) cache.clear();
      if (monitor.probe) monitor.probe(step_name + ".latents", run.latents);
      const bool unit_ends = run.step == run.steps || plan[static_cast<size_t>(run.step)].unit != at.unit;
      if (unit_ends) keep_frame(run);
      monitor.report("denoise", run.step, run.steps);
      if (monitor.after_step) monitor.after_step(run);
      if (!unit_ends) continue;
      if (run.step == run.steps) transformer_->release();
      on_frames(run);
      if (run.step < run.steps) monitor.report("denoise", run.step, run.steps);
    }
  }
  if (monitor.probe && run.state.contains("clean")) monitor.probe("latents", batched(run.state.at("clean")));
  if (transformer_) transformer_->release();
  release_cached_memory();
}

//! The latents that a stage begins with: the unit's noise, or the stage before grown.
void PyramidFlowPipeline::enter(Run& run, const Place& at, const schedulers::PyramidFlowMatchScheduler& schedule,
                                const Monitor& monitor) {
  if (at.stage == 0) {
    // With a picture the first frame's noise goes to the second frame, and so on; the last noise is left over.
    const int64_t frame = begins_with_picture(run) ? at.unit - 1 : at.unit;
    run.latents = batched(frames_of(run.state.at("noise"), frame, frame + 1));
    if (monitor.probe) monitor.probe("unit" + std::to_string(at.unit) + ".start_noise", run.latents);
    return;
  }
  Shape shape = run.latents.shape();
  for (size_t i = shape.size() - 2; i < shape.size(); ++i) shape[i] *= 2;
  const Tensor noise = schedule.block_noise(shape, run.global_generator);
  if (monitor.probe) monitor.probe(name_of(at.unit, at.stage) + ".block_noise", noise);
  run.latents = schedule.enter_stage(at.stage, run.latents, noise);
}

//! A unit is done: its latents are the next clean frame.
void PyramidFlowPipeline::keep_frame(Run& run) {
  const Tensor frame = unbatched(run.latents);
  Tensor& clean = run.state["clean"];
  clean = clean.defined() ? Tensor::concat({clean, frame}, 1) : frame.clone();
}

void PyramidFlowPipeline::require_finished(const Run& run) {
  const auto it = run.state.find("clean");
  if (it == run.state.end() || it->second.dim(1) != run.request.arguments.at("temp").get<int64_t>())
    throw Error(
        ErrorKind::usage,
        "the run is not finished: " + std::to_string(run.step) + " of " + std::to_string(run.steps) + " steps are done",
        "go on with it first");
}

void PyramidFlowPipeline::decode(const Run& run, int64_t index, media::FrameSink& sink, const Monitor& monitor) {
  require_own(run);
  if (index != 0) throw Error(ErrorKind::usage, "the run has one clip", "decode clip 0");
  require_finished(run);
  const Tensor& clean = run.state.at("clean");
  PictureStream pictures(*vae_, LatentScale(design_), run.format, clean.dim(1), sink, monitor);
  if (const auto tiles = tiling(run.request.arguments); tiles.enabled) {
    pictures.all_of(clean, tiles);
  } else {
    pictures.catch_up(clean);
  }
  pictures.finish();
}

//! The newest clean frame, or what there is of the first one.
Tensor PyramidFlowPipeline::preview(const Run& run) {
  constexpr int64_t most_cells = 16;
  const auto it = run.state.find("clean");
  const bool clean = it != run.state.end();
  const int64_t frames = clean ? it->second.dim(1) : 1;
  Tensor small = clean ? frames_of(it->second, frames - 1, frames) : unbatched(run.latents);
  small = LatentScale(design_).denormalize(small, frames - 1);
  while (std::max(small.dim(2), small.dim(3)) > most_cells && small.dim(2) % 2 == 0 && small.dim(3) % 2 == 0)
    small = schedulers::halve_resolution(small);
  Tensor picture = vae_->decode_alone(small).clone();
  for (float& v : picture.span<float>()) v = std::clamp(v / 2.0f + 0.5f, 0.0f, 1.0f);
  return picture;
}

}  // namespace prax::pipelines::pyramid_flow

#include "pipelines/cogvideox/cogvideox_pipeline.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "base/error.h"
#include "base/log.h"
#include "pipelines/arguments.h"
#include "pipelines/guidance.h"
#include "pipelines/pictures.h"
#include "pipelines/t5.h"
#include "tensor/memory.h"

namespace prax::pipelines::cogvideox {

namespace {

using nlohmann::json;

//! What a run keeps of its last step: the clean latents as that took them.
const char* const predicted_state = "predicted";
//! What the reference tells models with an ofs embedding.
constexpr float ofs_value = 2.0f;

//! [1, ...] -> [...], and back.
Tensor unbatched(const Tensor& t) { return t.view({t.shape().begin() + 1, t.shape().end()}); }
Tensor batched(const Tensor& t) {
  Shape shape{1};
  shape.insert(shape.end(), t.shape().begin(), t.shape().end());
  return t.view(shape);
}

//! uncond + scale (text - uncond) of [uncond, text]; the prediction itself without guidance.
Tensor guide(const Tensor& prediction, double scale) {
  if (prediction.dim(0) == 1) return prediction;
  const Tensor uncond = prediction.slice(0, 1), text = prediction.slice(1, 2);
  Tensor out = Tensor::empty(uncond.shape());
  const float *u = uncond.data<float>(), *t = text.data<float>();
  for (int64_t i = 0; i < out.numel(); ++i) out.data<float>()[i] = u[i] + static_cast<float>(scale) * (t[i] - u[i]);
  return out;
}

//! DiagonalGaussianDistribution.sample of moments [2 C, F, H, W]: mean + exp(logvar / 2) noise, the log-variance
//! clamped.
Tensor sample(const Tensor& moments, Generator& generator) {
  constexpr float least = -30.0f, most = 20.0f;
  const Tensor mean = moments.slice(0, moments.dim(0) / 2);
  Tensor out = generator.randn(mean.shape());
  const float *means = mean.data<float>(), *log_variances = means + mean.numel();
  for (int64_t i = 0; i < out.numel(); ++i)
    out.data<float>()[i] = means[i] + std::exp(0.5f * std::clamp(log_variances[i], least, most)) * out.data<float>()[i];
  return out;
}

//! The argument vae_tiling: null or false, true (the reference's sizes), or an object with some of them by name.
std::optional<models::cogvideox::Tiling> tiling_of(const json& value) {
  if (value.is_null() || value == json(false)) return {};
  models::cogvideox::Tiling tiling;
  if (value.is_boolean()) return tiling;
  for (const auto& [key, given] : value.items()) {
    const bool whole = given.is_number_integer() && given.get<int64_t>() > 0;
    if (key == "tile_sample_min_height" && whole) {
      tiling.tile_sample_min_height = given.get<int64_t>();
    } else if (key == "tile_sample_min_width" && whole) {
      tiling.tile_sample_min_width = given.get<int64_t>();
    } else if (key == "tile_overlap_factor_height" && given.is_number()) {
      tiling.tile_overlap_factor_height = given.get<double>();
    } else if (key == "tile_overlap_factor_width" && given.is_number()) {
      tiling.tile_overlap_factor_width = given.get<double>();
    } else {
      throw Error(ErrorKind::usage, "vae_tiling has \"" + key + "\": " + given.dump() + ", which cannot be",
                  "it takes tile_sample_min_ and tile_overlap_factor_ height and width");
    }
  }
  return tiling;
}

}  // namespace

std::vector<Argument> common_arguments(const checkpoint::Folder& folder) {
  const auto transformer = models::cogvideox::TransformerConfig::from(folder.config("transformer"));
  const int64_t pixels = models::cogvideox::VaeConfig::from(folder.config("vae")).spatial_ratio();
  // The published models were trained at these rates; the reference has no such argument.
  const double rate = transformer.patch_size_t > 0 ? 16.0 : 8.0;
  std::vector<Argument> arguments{
      {"height", "int", transformer.sample_height * pixels, "height in pixels"},
      {"width", "int", transformer.sample_width * pixels, "width in pixels"},
      {"num_frames", "int", transformer.sample_frames, "frames of the clip"},
      {"num_inference_steps", "int", 50, "denoising steps"},
      {"timesteps", "floats", nullptr, "own timesteps; the schedulers of this family take none"},
      {"guidance_scale", "float", 6.0, "how strongly the prompt guides; 1 or less switches guidance off"},
      {"use_dynamic_cfg", "bool", false, "lets the guidance grow from step to step"},
      {"num_videos_per_prompt", "int", 1, "always 1"},
      {"eta", "float", 0.0, "without effect on the schedulers of this family"},
      {"latents", "file", nullptr, "initial noise [1, frames, channels, height, width] instead of drawn noise"},
      {"prompt_embeds", "file", nullptr, "encoded prompt [1, tokens, channels] instead of the prompt"},
      {"negative_prompt_embeds", "file", nullptr, "encoded negative prompt"},
      {"max_sequence_length", "int", 226, "tokens that the prompt is padded or cut to"},
      {"frame_rate", "float", rate, "frames a second of the file that is written"},
      {"vae_tiling", "tiling", nullptr,
       "code in overlapping tiles as the reference's enable_tiling(): true, or {\"tile_sample_min_width\": 360, ...}"},
  };
  add_step_saving(arguments);
  return arguments;
}

std::vector<Argument>::iterator find_argument(std::vector<Argument>& arguments, const std::string& name) {
  return std::find_if(arguments.begin(), arguments.end(), [&](const Argument& a) { return a.name == name; });
}

CogVideoXPipeline::CogVideoXPipeline(const checkpoint::Folder& folder, const LoadOptions& options,
                                     std::vector<Argument> arguments, int64_t clip_channels)
    : folder_(folder),
      options_(options),
      arguments_(std::move(arguments)),
      prompts_(folder_, options_),
      tokenizer_(text::T5Tokenizer::load(folder_.component_path("tokenizer"))),
      scheduler_config_(folder_.config("scheduler")) {
  apply_folder_defaults(folder_, arguments_);
  schedulers::make_cogvideox_scheduler(scheduler_config_);
  if (!prompts_.on()) text_encoder();  // opened now so that what is wrong with it is said before an hour of work
  const auto transformer = folder_.weights("transformer", options_.variant);
  const auto loras = options_.loras.empty() ? nullptr : checkpoint::LoraSet::open(options_.loras, options_.lora_mode);
  transformer_ = std::make_unique<models::cogvideox::Transformer>(
      folder_.config("transformer"), checkpoint::Weights(transformer, {}, loras, options_.budget()), options_.dtype);
  // Some publishers stored the table of sines, too, which is made anew.
  checkpoint::require_all_used(*transformer, {"patch_embed.pos_embedding"});
  if (loras) loras->require_all_used();
  const auto vae = folder_.weights("vae", options_.variant);
  vae_ = std::make_unique<models::cogvideox::Vae>(folder_.config("vae"), checkpoint::Weights(vae),
                                                  wide_dtype(options_.dtype));
  checkpoint::require_all_used(*vae);

  const auto& config = transformer_->config();
  const int64_t latents = vae_->config().latent_channels;
  if (config.in_channels != clip_channels * latents && config.in_channels == (3 - clip_channels) * latents)
    throw Error(
        ErrorKind::usage,
        folder_.path().string() + (clip_channels == 1
                                       ? " makes videos from a picture: its denoiser sees one beside the latents"
                                       : " makes videos from text: its denoiser sees no picture"),
        clip_channels == 1 ? "give the first frame with --image" : "use a checkpoint of CogVideoX for pictures (I2V)");
  const auto fits = [&](int64_t wanted, int64_t have, const std::string& what) {
    if (wanted != have)
      throw Error(ErrorKind::checkpoint,
                  folder_.path().string() + ": the transformer wants " + what + " of " + std::to_string(wanted) +
                      " channels, but there are " + std::to_string(have),
                  "the components are not from the same checkpoint");
  };
  fits(config.in_channels, clip_channels * latents, "latents");
  fits(config.out_channels, latents, "predictions");
  fits(config.text_embed_dim, models::T5Config::from(folder_.config("text_encoder")).d_model, "text");
}

models::T5Encoder& CogVideoXPipeline::text_encoder() {
  if (!text_encoder_) text_encoder_ = open_t5(folder_, "text_encoder", options_);
  return *text_encoder_;
}

int64_t CogVideoXPipeline::latent_frames(int64_t frames) const {
  return (frames - 1) / static_cast<int64_t>(vae_config().temporal_compression_ratio) + 1;
}

int64_t CogVideoXPipeline::padding_frames(const json& arguments) const {
  const int64_t patch = transformer_->config().frames_of_patch();
  return (patch - latent_frames(arguments.at("num_frames").get<int64_t>()) % patch) % patch;
}

Shape CogVideoXPipeline::latent_shape(const json& arguments) const {
  const int64_t pixels = vae_config().spatial_ratio();
  const int64_t frames = latent_frames(arguments.at("num_frames").get<int64_t>());
  return {1, frames + padding_frames(arguments), vae_config().latent_channels,
          arguments.at("height").get<int64_t>() / pixels, arguments.at("width").get<int64_t>() / pixels};
}

void CogVideoXPipeline::check_sizes(const json& a) const {
  constexpr int64_t most_pixels = 16384, most_frames = 1 << 20;
  const auto& config = transformer_->config();
  const int64_t pixels = vae_config().spatial_ratio(), cell = pixels * config.patch_size;
  const auto legal_side = [&](const char* name, int64_t sample_side) {
    require_range(a, name, 1, most_pixels);
    const int64_t value = a.at(name).get<int64_t>();
    if (config.use_learned_positional_embeddings && value != sample_side * pixels)
      throw Error(ErrorKind::usage,
                  std::string(name) + " is " + std::to_string(value) + ", but this model has learned one size alone",
                  "the nearest is " + std::to_string(sample_side * pixels));
    if (value % cell)
      throw Error(ErrorKind::usage,
                  std::string(name) + " is " + std::to_string(value) + ", but this model makes multiples of " +
                      std::to_string(cell),
                  "the nearest are " + nearest_multiples(value, cell));
    const int64_t most = sample_side / config.patch_size * cell;
    if (config.patch_size_t > 0 && config.use_rotary_positional_embeddings && value > most)
      throw Error(ErrorKind::usage,
                  std::string(name) + " is " + std::to_string(value) + ", more than this model has positions for",
                  "the nearest is " + std::to_string(most));
  };
  legal_side("width", config.sample_width);
  legal_side("height", config.sample_height);
  if (a.contains("num_frames")) {
    require_range(a, "num_frames", 1, most_frames);
    const int64_t frames = a.at("num_frames").get<int64_t>();
    const auto group = static_cast<int64_t>(vae_config().temporal_compression_ratio);
    if ((frames - 1) % group)
      throw Error(
          ErrorKind::usage,
          "num_frames is " + std::to_string(frames) + ", but this model makes " + std::to_string(group) + "k+1 frames",
          "the nearest are " + nearest_multiples(frames, group, 1));
  }
  require_range(a, "max_sequence_length", 1, 4096);
  const int64_t tokens = a.at("max_sequence_length").get<int64_t>();
  if (config.adds_positions() && tokens != config.max_text_seq_length)
    throw Error(ErrorKind::usage,
                "max_sequence_length is " + std::to_string(tokens) + ", but this model has positions for texts of " +
                    std::to_string(config.max_text_seq_length),
                "the nearest is " + std::to_string(config.max_text_seq_length));
  if (a.at("num_videos_per_prompt").get<int64_t>() != 1)
    throw Error(
        ErrorKind::usage,
        "num_videos_per_prompt is " + a.at("num_videos_per_prompt").dump() + ", but a run of CogVideoX makes one clip",
        "run again with another seed");
  if (!a.at("timesteps").is_null())
    throw Error(ErrorKind::usage, "the schedulers of CogVideoX take no timesteps of their own",
                "leave timesteps out and give num_inference_steps");
  const double rate = a.at("frame_rate").get<double>();
  if (!(rate > 0 && rate <= 1000))
    throw Error(ErrorKind::usage, "frame_rate is " + a.at("frame_rate").dump() + ", which cannot be", "use 1 to 1000");
}

void CogVideoXPipeline::use_tiling(const json& arguments) {
  const auto tiling = tiling_of(arguments.at("vae_tiling"));
  if (tiling) {
    vae_->enable_tiling(*tiling);
  } else {
    vae_->disable_tiling();
  }
}

json CogVideoXPipeline::tiling_near(int64_t side) const {
  const auto tiling = vae_->tiling_near(side);
  return {{"tile_sample_min_height", *tiling.tile_sample_min_height},
          {"tile_sample_min_width", *tiling.tile_sample_min_width}};
}

std::unique_ptr<schedulers::CogVideoXSchedule> CogVideoXPipeline::schedule(const json& arguments) const {
  auto scheduler = schedulers::make_cogvideox_scheduler(scheduler_config_);
  scheduler->set_timesteps(arguments.at("num_inference_steps").get<int64_t>());
  return scheduler;
}

Run CogVideoXPipeline::begin(const Request& request, const Monitor& monitor) {
  Run run;
  run.request = request;
  run.request.arguments = complete_arguments(request.arguments, arguments_);
  const json& a = run.request.arguments;
  require_utf8(request.prompt, "the prompt");
  require_utf8(request.negative_prompt, "the negative prompt");
  check_sizes(a);
  check_step_saving(a);
  check_arguments(run.request);
  use_tiling(a);
  run.generator = Generator(request.seed);
  run.global_generator = Generator(request.global_seed.value_or(request.seed));
  run.steps = static_cast<int64_t>(schedule(a)->timesteps().size()) - first_step(a);
  run.format = {a.at("width").get<int>(), a.at("height").get<int>(), 0, a.at("frame_rate").get<double>()};
  prepare(run, monitor);
  const auto [height, width] = vae_->picture_size(run.latents.dim(3), run.latents.dim(4));
  if (height != run.format.height || width != run.format.width)
    log_warning("the tiles do not line up: as with the reference, the pictures are " + std::to_string(width) + "x" +
                std::to_string(height));
  run.format.height = static_cast<int>(height);
  run.format.width = static_cast<int>(width);
  run.format.frames = vae_config().decoded_frames(run.latents.dim(1) - padding_frames(a));
  if (a.contains("num_frames") && a.at("num_frames").get<int64_t>() != run.format.frames)
    log_warning("a clip of " + a.at("num_frames").dump() + " frames has " +
                std::to_string(latent_frames(a.at("num_frames").get<int64_t>())) +
                " latent frames, of which the decoder makes " + std::to_string(run.format.frames));
  release_cached_memory();
  return run;
}

Tensor CogVideoXPipeline::given_latents(const Run& run, Shape wanted) const {
  const Tensor given = tensor_argument(run.request, "latents");
  if (!given.defined()) return given;
  if (wanted[1] == 0 && given.rank() == 5 && given.dim(1) > 0) wanted[1] = given.dim(1);
  if (given.shape() != wanted)
    throw Error(ErrorKind::usage,
                "the given latents are " + to_string(given.shape()) + ", but this clip needs " + to_string(wanted),
                "width, height and frames must be those that they were made for");
  return given.clone();
}

Tensor CogVideoXPipeline::encode(Run& run, const Tensor& pixels, double scale, int64_t call, const Monitor& monitor) {
  monitor.check();
  monitor.report("encode", 0, pixels.dim(0));
  const Tensor moments = vae_->encode(pixels);
  monitor.report("encode", pixels.dim(0), pixels.dim(0));
  if (monitor.probe) {
    const std::string name = "vae.encode." + std::to_string(call);
    monitor.probe(name + ".in.0", batched(pixels.permute({3, 0, 1, 2})));
    monitor.probe(name + ".out", batched(moments));
  }
  Tensor latents = sample(moments, run.generator).permute({1, 0, 2, 3});
  for (float& v : latents.span<float>()) v *= static_cast<float>(scale);
  return batched(latents);
}

Tensor CogVideoXPipeline::encode_text(const std::string& text, int64_t max_sequence_length, int64_t call,
                                      const Monitor& monitor) {
  const auto encoding = tokenizer_.encode(text, max_sequence_length);
  if (encoding.truncated > 0)
    log_warning("a prompt is too long: its last " + std::to_string(encoding.truncated) +
                " tokens are cut (max_sequence_length is " + std::to_string(max_sequence_length) + ")");
  const Tensor states = prompts_.encoded("text_encoder", {encoding.ids}, {}, [&](const auto& ids, const auto& masks) {
    return text_encoder()(ids, masks, [&](int64_t done, int64_t all) {
      monitor.check();
      monitor.report("text", done, all);
    });
  });
  if (monitor.probe) {
    const std::string name = "text_encoder." + std::to_string(call);
    monitor.probe(name + ".in.0", Tensor::from<int64_t>({1, max_sequence_length}, encoding.ids));
    monitor.probe(name + ".out", states);
  }
  return unbatched(states);
}

std::vector<Tensor> CogVideoXPipeline::encode_prompts(const Run& run, const Monitor& monitor) {
  const json& a = run.request.arguments;
  warn_of_unread_prompt(run, guided(a));
  std::vector<Tensor> prompts;
  int64_t call = 0;
  for (const std::string prefix : {"", "negative_"}) {
    if (!prefix.empty() && !guided(a)) break;
    const std::string name = prefix + "prompt_embeds";
    Tensor states = tensor_argument(run.request, name);
    if (states.defined()) {
      if (states.rank() != 3 || states.dim(0) != 1 || states.dim(2) != transformer_->config().text_embed_dim)
        throw Error(ErrorKind::usage,
                    name + " is " + to_string(states.shape()) + ", but this model wants [1, tokens, " +
                        std::to_string(transformer_->config().text_embed_dim) + "]",
                    "it must come from this model's text encoder");
      states = unbatched(states);
    } else {
      states = encode_text(prefix.empty() ? run.request.prompt : run.request.negative_prompt,
                           a.at("max_sequence_length").get<int64_t>(), call++, monitor);
    }
    prompts.insert(prompts.begin(), states);
  }
  text_encoder_.reset();
  release_cached_memory();
  if (prompts.front().shape() != prompts.back().shape())
    throw Error(
        ErrorKind::usage,
        "the encoded prompts are " + to_string(prompts.back().shape()) + " and " + to_string(prompts.front().shape()),
        "prompt_embeds and negative_prompt_embeds must have the same shape");
  return prompts;
}

Tensor CogVideoXPipeline::model_input(const Run& run) const { return unbatched(run.latents); }

std::optional<float> CogVideoXPipeline::ofs() const {
  return transformer_->config().ofs_embed_dim > 0 ? std::optional(ofs_value) : std::nullopt;
}

Tensor CogVideoXPipeline::answer(int64_t item, const Run& run, const Tensor& text, int64_t timestep,
                                 const models::cogvideox::Rotary& rotary, const Monitor& monitor,
                                 StepCache& cache) const {
  return cache.call(item, run.latents, [&](nn::BlockCache* blocks) {
    return (*transformer_)(
        model_input(run), text, static_cast<float>(timestep), ofs(), rotary, [&] { monitor.check(); }, blocks);
  });
}

Tensor CogVideoXPipeline::predict(const Run& run, const std::vector<Tensor>& prompts, int64_t timestep,
                                  const models::cogvideox::Rotary& rotary, const Monitor& monitor,
                                  StepCache& cache) const {
  std::vector<Tensor> inputs, texts, answers;
  for (const Tensor& text : prompts) {
    const int64_t item = std::ssize(prompts) - 1 - std::ssize(answers);
    answers.push_back(batched(answer(item, run, text, timestep, rotary, monitor, cache)));
    if (!monitor.probe) continue;
    inputs.push_back(batched(model_input(run)));
    texts.push_back(batched(text));
  }
  const Tensor prediction = Tensor::concat(answers, 0);
  if (monitor.probe) {
    const std::string name = "transformer." + std::to_string(run.step);
    monitor.probe(name + ".in.hidden_states", Tensor::concat(inputs, 0));
    monitor.probe(name + ".in.encoder_hidden_states", Tensor::concat(texts, 0));
    monitor.probe(name + ".in.timestep",
                  Tensor::from<int64_t>({prediction.dim(0)}, std::vector<int64_t>(prompts.size(), timestep)));
    if (rotary.defined()) {
      monitor.probe(name + ".in.image_rotary_emb.0", rotary.cos);
      monitor.probe(name + ".in.image_rotary_emb.1", rotary.sin);
    }
    if (ofs()) monitor.probe(name + ".in.ofs", Tensor::full({1}, *ofs()));
    monitor.probe(name + ".out", prediction);
  }
  return prediction;
}

//! use_dynamic_cfg: 1 + scale (1 - cos(pi ((n - t) / n)^5)) / 2 at timestep t of a run of n steps.
double CogVideoXPipeline::guidance_at(const Run& run, int64_t timestep) const {
  const json& a = run.request.arguments;
  const double scale = a.at("guidance_scale").get<double>();
  if (!a.at("use_dynamic_cfg").get<bool>()) return scale;
  const auto steps = static_cast<double>(a.at("num_inference_steps").get<int64_t>() - first_step(a));
  const double share = (steps - static_cast<double>(timestep)) / steps;
  return 1 + scale * ((1 - std::cos(std::numbers::pi * std::pow(share, 5.0))) / 2);
}

void CogVideoXPipeline::require_own(const Run& run) const {
  const json& a = run.request.arguments;
  complete_arguments(a, arguments_);
  for (const Argument& argument : arguments_)
    if (!a.contains(argument.name))
      throw Error(ErrorKind::input, "the run has no " + argument.name, "it was begun with another model or version");
  check_sizes(a);
  const Shape& have = run.latents.shape();
  const int64_t pixels = vae_config().spatial_ratio();
  if (have.size() != 5 || have[0] != 1 || have[2] != vae_config().latent_channels ||
      have[3] != a.at("height").get<int64_t>() / pixels || have[4] != a.at("width").get<int64_t>() / pixels ||
      run.latents.dtype() != DType::f32 || run.step < 0 || run.step > run.steps ||
      (run.step > 0 && !run.state.contains(predicted_state)))
    throw Error(ErrorKind::input, "the run's latents " + to_string(have) + " are not this model's",
                "go on with the model that the run was begun with");
}

void CogVideoXPipeline::denoise(Run& run, const Monitor& monitor) {
  require_own(run);
  const json& a = run.request.arguments;
  const auto scheduler = schedule(a);
  if (run.step < run.steps) {
    monitor.report("text", 0, 1);
    const auto prompts = encode_prompts(run, monitor);
    const auto rotary = transformer_->rotary(run.latents.dim(1), run.latents.dim(3), run.latents.dim(4));
    const std::vector<Tensor> unguided{prompts.back()};
    const auto timestep_of = [&](int64_t step) {
      return scheduler->timesteps()[static_cast<size_t>(first_step(a) + step)];
    };
    StepCache cache(run);
    cache.recall(0, std::ssize(prompts), run.latents.shape(), [&](int64_t item, int64_t step, const Tensor& latents) {
      Run then = run;
      then.latents = latents;
      answer(item, then, prompts[prompts.size() - 1 - static_cast<size_t>(item)], timestep_of(step), rotary, monitor,
             cache);
    });
    monitor.report("denoise", run.step, run.steps);
    while (run.step < run.steps) {
      monitor.check();
      const int64_t index = first_step(a) + run.step, timestep = timestep_of(run.step);
      const bool guides = guides_at(a, run.step, run.steps);
      if (!guides) cache.clear(1);
      const Tensor prediction = guide(predict(run, guides ? prompts : unguided, timestep, rotary, monitor, cache),
                                      guidance_at(run, timestep));
      const Tensor before = run.step > 0 ? run.state.at(predicted_state) : Tensor();
      auto step = scheduler->step(prediction, before, index, run.latents, run.generator);
      run.latents = std::move(step.sample);
      run.state[predicted_state] = std::move(step.original);
      ++run.step;
      if (run.step == run.steps) cache.clear();
      if (monitor.probe) monitor.probe("step." + std::to_string(run.step - 1) + ".latents", run.latents);
      monitor.report("denoise", run.step, run.steps);
      if (monitor.after_step) monitor.after_step(run);
    }
  }
  if (monitor.probe) {
    const auto& timesteps = scheduler->timesteps();
    const std::vector<float> values(timesteps.begin(), timesteps.end());
    monitor.probe("timesteps", Tensor::from<float>({static_cast<int64_t>(values.size())}, values));
  }
  transformer_->release();
  release_cached_memory();
}

Tensor CogVideoXPipeline::unscaled(const Tensor& latents) const {
  Tensor out = latents.permute({1, 0, 2, 3});
  const float factor = static_cast<float>(1 / vae_config().scaling_factor);
  for (float& v : out.span<float>()) v *= factor;
  return out;
}

void CogVideoXPipeline::decode(const Run& run, int64_t index, media::FrameSink& sink, const Monitor& monitor) {
  require_own(run);
  if (index != 0) throw Error(ErrorKind::internal, "a run of CogVideoX makes one clip");
  use_tiling(run.request.arguments);
  const Tensor clip = unbatched(run.latents);
  const Tensor latents = unscaled(clip.slice(padding_frames(run.request.arguments), clip.dim(0)));
  std::vector<Tensor> pictures;
  sink.begin(run.format);
  monitor.report("decode", 0, latents.dim(1));
  vae_->decode(
      latents,
      [&](const Tensor& picture) {
        monitor.check();
        if (monitor.probe) pictures.push_back(batched(picture));
        const Tensor rgb = to_rgb(picture);
        sink.frame(rgb.span<float>());
      },
      [&](int64_t done, int64_t all) {
        monitor.check();
        monitor.report("decode", done, all);
      });
  sink.finish();
  release_cached_memory();
  if (!monitor.probe) return;
  monitor.probe("vae.decode.0.in.0", batched(latents));
  monitor.probe("vae.decode.0.out", batched(Tensor::concat(pictures, 0).permute({3, 0, 1, 2})));
}

//! The middle frame as the last step expected it, small: the means of squares of latents, decoded alone.
Tensor CogVideoXPipeline::preview(const Run& run) {
  constexpr int64_t most_cells = 16;
  const auto known = run.state.find(predicted_state);
  const Tensor clip = unbatched(known == run.state.end() ? run.latents : known->second);
  const Tensor latents = unscaled(clip.slice(clip.dim(0) / 2, clip.dim(0) / 2 + 1));
  const int64_t channels = latents.dim(0), rows = latents.dim(2), columns = latents.dim(3);
  const int64_t shrink = (std::max(rows, columns) + most_cells - 1) / most_cells;
  const int64_t height = std::max<int64_t>(1, rows / shrink), width = std::max<int64_t>(1, columns / shrink);
  Tensor small = Tensor::zeros({channels, 1, height, width});
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t y = 0; y < std::min(height * shrink, rows); ++y)
      for (int64_t x = 0; x < std::min(width * shrink, columns); ++x)
        small.data<float>()[(c * height + y / shrink) * width + x / shrink] +=
            latents.data<float>()[(c * rows + y) * columns + x] / static_cast<float>(shrink * shrink);
  vae_->disable_tiling();
  Tensor picture;
  vae_->decode(small, [&](const Tensor& decoded) { picture = to_rgb(decoded); });
  return picture;
}

}  // namespace prax::pipelines::cogvideox

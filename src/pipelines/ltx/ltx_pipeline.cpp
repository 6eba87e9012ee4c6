#include "pipelines/ltx/ltx_pipeline.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/log.h"
#include "pipelines/arguments.h"
#include "pipelines/guidance.h"
#include "pipelines/t5.h"
#include "tensor/memory.h"
#include "tensor/parallel.h"

namespace prax::pipelines::ltx {

namespace {

using nlohmann::json;

//! Standard deviation over all values with Bessel's correction, as torch.std.
double standard_deviation(std::span<const float> values) {
  double mean = 0, squares = 0;
  for (float v : values) mean += v;
  mean /= static_cast<double>(values.size());
  for (float v : values) squares += (v - mean) * (v - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

}  // namespace

std::vector<Argument> common_arguments() {
  std::vector<Argument> arguments{
      {"height", "int", 512, "height in pixels"},
      {"width", "int", 704, "width in pixels"},
      {"num_frames", "int", 161, "frames of the clip"},
      {"frame_rate", "float", 25.0, "frames a second"},
      {"num_inference_steps", "int", 50, "denoising steps"},
      {"timesteps", "floats", nullptr, "own timesteps in descending order, instead of num_inference_steps"},
      {"guidance_scale", "float", 3.0, "how strongly the prompt guides; 1 or less switches guidance off"},
      {"guidance_rescale", "float", 0.0, "takes overexposure out of strong guidance (0 to 1)"},
      {"num_videos_per_prompt", "int", 1, "clips to make from one prompt"},
      {"latents", "file", nullptr, "initial noise [B, tokens, channels] instead of drawn noise"},
      {"prompt_embeds", "file", nullptr, "encoded prompt [B, tokens, channels] instead of the prompt"},
      {"prompt_attention_mask", "file", nullptr, "0/1 for each token of prompt_embeds"},
      {"negative_prompt_embeds", "file", nullptr, "encoded negative prompt"},
      {"negative_prompt_attention_mask", "file", nullptr, "0/1 for each token of negative_prompt_embeds"},
      {"decode_timestep", "float", 0.0, "timestep at which the video is decoded (decoders with timestep conditioning)"},
      {"decode_noise_scale", "float", nullptr, "share of noise mixed in before decoding; decode_timestep when absent"},
      {"max_sequence_length", "int", 128, "tokens that the prompt is padded or cut to"},
      {"vae_tiling", "tiling", nullptr, tiling_help},
  };
  add_step_saving(arguments);
  return arguments;
}

LtxPipeline::LtxPipeline(const checkpoint::Folder& folder, const LoadOptions& options, std::vector<Argument> arguments)
    : folder_(folder),
      options_(options),
      arguments_(std::move(arguments)),
      prompts_(folder_, options_),
      tokenizer_(text::T5Tokenizer::load(folder_.component_path("tokenizer"))) {
  apply_folder_defaults(folder_, arguments_);
  const auto scheduler = folder_.config("scheduler");
  if (scheduler.get<std::string>("_class_name", "FlowMatchEulerDiscreteScheduler") == "FlowMatchEulerDiscreteScheduler")
    scheduler_options_ = schedulers::FlowMatchEulerOptions::from_config(scheduler);
  if (!prompts_.on()) text_encoder();  // opened now so that what is wrong with it is said before an hour of work
  const auto transformer = folder_.weights("transformer", options_.variant);
  const auto loras = options_.loras.empty() ? nullptr : checkpoint::LoraSet::open(options_.loras, options_.lora_mode);
  transformer_ = std::make_unique<models::ltx::Transformer>(
      folder_.config("transformer"), checkpoint::Weights(transformer, {}, loras, options_.budget()), options_.dtype);
  checkpoint::require_all_used(*transformer);
  if (loras) loras->require_all_used();
  const auto vae = folder_.weights("vae", options_.variant);
  vae_ =
      std::make_unique<models::ltx::Vae>(folder_.config("vae"), checkpoint::Weights(vae), wide_dtype(options_.dtype));
  checkpoint::require_all_used(*vae);
  const auto text = models::T5Config::from(folder_.config("text_encoder"));
  if (transformer_->config().caption_channels != text.d_model)
    throw Error(ErrorKind::checkpoint,
                folder_.path().string() + ": the transformer wants text of " +
                    std::to_string(transformer_->config().caption_channels) + " channels, the text encoder gives " +
                    std::to_string(text.d_model),
                "the components are not from the same checkpoint");
}

models::T5Encoder& LtxPipeline::text_encoder() {
  if (!text_encoder_) text_encoder_ = open_t5(folder_, "text_encoder", options_);
  return *text_encoder_;
}

Grid LtxPipeline::latent_grid(const json& arguments) const {
  const auto& vae = vae_->config();
  return {(arguments.at("num_frames").get<int64_t>() - 1) / vae.temporal_compression_ratio + 1,
          arguments.at("height").get<int64_t>() / vae.spatial_compression_ratio,
          arguments.at("width").get<int64_t>() / vae.spatial_compression_ratio};
}

void LtxPipeline::check_sizes(const json& arguments) const {
  constexpr int64_t most_pixels = 16384, most_frames = 1 << 20, most_steps = 100000;
  require_range(arguments, "width", 1, most_pixels);
  require_range(arguments, "height", 1, most_pixels);
  require_range(arguments, "num_frames", 1, most_frames);
  const double rate = arguments.at("frame_rate").get<double>();
  if (!(rate > 0 && rate <= 1000))
    throw Error(ErrorKind::usage, "frame_rate is " + arguments.at("frame_rate").dump() + ", which cannot be",
                "use 1 to 1000");
  require_range(arguments, "num_inference_steps", 1, most_steps);
  if (arguments.contains("num_videos_per_prompt")) require_range(arguments, "num_videos_per_prompt", 1, 64);
  require_range(arguments, "max_sequence_length", 1, 4096);
  const auto& vae = vae_->config();
  const int64_t pixels = vae.spatial_compression_ratio;
  for (const char* name : {"width", "height"}) {
    const int64_t value = arguments.at(name).get<int64_t>();
    if (value % pixels)
      throw Error(ErrorKind::usage,
                  std::string(name) + " is " + std::to_string(value) + ", but this model makes multiples of " +
                      std::to_string(pixels),
                  "the nearest are " + nearest_multiples(value, pixels));
  }
  const int64_t frames = arguments.at("num_frames").get<int64_t>(), group = vae.temporal_compression_ratio;
  if ((frames - 1) % group)
    throw Error(
        ErrorKind::usage,
        "num_frames is " + std::to_string(frames) + ", but this model makes " + std::to_string(group) + "k+1 frames",
        "the nearest are " + nearest_multiples(frames, group, 1));
}

//! _pack_latents: [B, C, F, H, W] -> [B, tokens, C]
Tensor LtxPipeline::pack(const Tensor& latents) const {
  return latents.permute({0, 2, 3, 4, 1}).view({latents.dim(0), -1, latents.dim(1)});
}

//! _unpack_latents: [B, tokens, C] -> [B, C, F, H, W]
Tensor LtxPipeline::unpack(const Tensor& tokens, const Grid& grid) const {
  const Tensor split = tokens.view({tokens.dim(0), grid.frames, grid.height, grid.width, tokens.dim(2)});
  return split.permute({0, 4, 1, 2, 3});
}

LatentScale LtxPipeline::latent_scale() const {
  return {vae_->latents_mean(), vae_->latents_std(), vae_->config().scaling_factor};
}

Tensor LtxPipeline::normalize(const Tensor& latents) const {
  return normalize_latents(latents, {vae_->latents_mean(), vae_->latents_std(), 1.0f});
}

void LtxPipeline::prepare(Run& run, const Monitor&) {
  const json& a = run.request.arguments;
  const Grid g = latent_grid(a);
  const Shape shape{a.at("num_videos_per_prompt").get<int64_t>(), transformer_->config().in_channels, g.frames,
                    g.height, g.width};
  const Tensor given = tensor_argument(run.request, "latents");
  if (!given.defined()) {
    run.latents = pack(run.generator.randn(shape));
    return;
  }
  const Shape wanted{shape[0], g.tokens(), shape[1]};
  if (given.shape() != wanted)
    throw Error(ErrorKind::usage,
                "the given latents are " + to_string(given.shape()) + ", but this clip needs " + to_string(wanted),
                "width, height and num_frames must be those that they were made for");
  run.latents = given.clone();
}

Run LtxPipeline::begin(const Request& request, const Monitor& monitor) {
  Run run;
  run.request = request;
  run.request.arguments = complete_arguments(request.arguments, arguments_);
  const json& a = run.request.arguments;
  require_utf8(request.prompt, "the prompt");
  require_utf8(request.negative_prompt, "the negative prompt");
  check_sizes(a);
  if (a.contains("cache")) check_step_saving(a);
  check_arguments(a);
  if (a.contains("vae_tiling")) tiling(a);
  run.generator = Generator(request.seed);
  run.global_generator = Generator(request.global_seed.value_or(request.seed));
  run.format = {a.at("width").get<int>(), a.at("height").get<int>(), a.at("num_frames").get<int64_t>(),
                a.at("frame_rate").get<double>()};
  run.steps = count_steps(run);
  prepare(run, monitor);
  vae_->release_encoder();
  release_cached_memory();
  denoised_ = {};
  return run;
}

int64_t LtxPipeline::count_steps(const Run& run) const {
  return count_passes(run) * (static_cast<int64_t>(schedule(run).timesteps().size()) - first_step(run));
}

int64_t LtxPipeline::steps_of(const Request& request) const {
  Run run;
  run.request = request;
  return count_steps(run);
}

int64_t LtxPipeline::schedule_index(const Run& run) const {
  return first_step(run) + run.step % std::max<int64_t>(1, run.steps / count_passes(run));
}

schedulers::FlowMatchEulerScheduler LtxPipeline::schedule(const Run& run) const {
  if (!scheduler_options_)
    throw Error(ErrorKind::checkpoint,
                folder_.path().string() + ": a " + reference_class() + " needs a FlowMatchEulerDiscreteScheduler",
                "scheduler/scheduler_config.json names another one");
  const json& a = run.request.arguments;
  const auto& o = *scheduler_options_;
  schedulers::FlowMatchEulerScheduler scheduler(o);
  schedulers::TimestepRequest request;
  if (a.at("timesteps").is_null()) {
    const int64_t n = a.at("num_inference_steps").get<int64_t>();
    request.sigmas = schedulers::linspace(1.0, 1.0 / static_cast<double>(n), n);
  } else {
    request.timesteps = a.at("timesteps").get<std::vector<double>>();
  }
  request.mu = schedulers::calculate_shift(latent_grid(a).tokens(), o.base_image_seq_len, o.max_image_seq_len,
                                           o.base_shift, o.max_shift);
  scheduler.set_timesteps(request);
  return scheduler;
}

models::ltx::Rotary LtxPipeline::positions(const Run& run, Tensor&) const {
  const json& a = run.request.arguments;
  const Grid grid = latent_grid(a);
  const auto& vae = vae_->config();
  const float spatial = static_cast<float>(vae.spatial_compression_ratio);
  const float scale[3] = {
      static_cast<float>(static_cast<double>(vae.temporal_compression_ratio) / a.at("frame_rate").get<double>()),
      spatial, spatial};
  return transformer_->rotary(grid.frames, grid.height, grid.width, scale);
}

LtxPipeline::Moment LtxPipeline::moment(const Run&, float timestep) const {
  return {{}, {timestep}, {}, nullptr, nullptr, false};
}

Tensor LtxPipeline::step(Run& run, const schedulers::FlowMatchEulerScheduler& scheduler,
                         const Tensor& prediction) const {
  // The reference's call passes no generator: a stochastic schedule draws from the global one.
  return scheduler.step(prediction, schedule_index(run), run.latents, &run.global_generator);
}

Tensor LtxPipeline::video_latents(const Run& run, const Tensor& tokens) const {
  const int64_t extra = extra_tokens(run), batch = tokens.dim(0);
  const Grid grid = latent_grid(run.request.arguments);
  if (extra == 0) return unpack(tokens, grid);
  std::vector<Tensor> clips;
  for (int64_t b = 0; b < batch; ++b) {
    const Tensor clip = tokens.slice(b, b + 1).view({tokens.dim(1), tokens.dim(2)});
    clips.push_back(clip.slice(extra, tokens.dim(1)).view({1, grid.tokens(), tokens.dim(2)}));
  }
  return unpack(Tensor::concat(clips, 0), grid);
}

LtxPipeline::Prompt LtxPipeline::given_prompt(const Run& run, const std::string& prefix) const {
  const Tensor flags = tensor_argument(run.request, prefix + "prompt_attention_mask");
  if (!flags.defined())
    throw Error(ErrorKind::usage, prefix + "prompt_embeds was given without " + prefix + "prompt_attention_mask",
                "give both");
  Prompt p{tensor_argument(run.request, prefix + "prompt_embeds"), {}};
  const int64_t batch = run.request.arguments.at("num_videos_per_prompt").get<int64_t>();
  if (p.embeds.rank() != 3 || p.embeds.dim(0) != batch || p.embeds.dim(2) != transformer_->config().caption_channels ||
      flags.shape() != Shape{batch, p.embeds.dim(1)})
    throw Error(ErrorKind::usage,
                prefix + "prompt_embeds " + to_string(p.embeds.shape()) + " with a mask " + to_string(flags.shape()) +
                    " does not fit " + std::to_string(batch) + " clips of " +
                    std::to_string(transformer_->config().caption_channels) + " text channels",
                "the embeddings must come from this model's text encoder");
  for (int64_t b = 0; b < batch; ++b) {
    const auto row = flags.slice(b, b + 1);
    p.masks.emplace_back(row.data<float>(), row.data<float>() + row.numel());
  }
  return p;
}

std::vector<LtxPipeline::Prompt> LtxPipeline::encode_texts(const std::vector<std::string>& texts, int64_t batch,
                                                           int64_t max_sequence_length, int64_t first_call,
                                                           const Monitor& monitor) {
  std::vector<std::vector<int64_t>> ids, masks;
  for (const std::string& text : texts) {
    const auto encoding = tokenizer_.encode(text, max_sequence_length);
    if (encoding.truncated > 0)
      log_warning("a prompt is too long: its last " + std::to_string(encoding.truncated) +
                  " tokens are cut (max_sequence_length is " + std::to_string(max_sequence_length) + ")");
    ids.push_back(encoding.ids);
    masks.push_back(encoding.mask);
  }
  const auto on_layer = [&](int64_t done, int64_t all) {
    monitor.check();
    monitor.report("text", done, all);
  };
  const Tensor states =
      prompts_.encoded("text_encoder", ids, masks_text() ? masks : PromptCache::Tokens{},
                       [&](const auto& some, const auto& masked) { return text_encoder()(some, masked, on_layer); });
  std::vector<Prompt> prompts;
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    const Tensor state = states.slice(row, row + 1);
    if (monitor.probe) {
      const std::string name = "text_encoder." + std::to_string(first_call + row);
      monitor.probe(name + ".in.0", Tensor::from<int64_t>({1, max_sequence_length}, ids[i]));
      if (masks_text())
        monitor.probe(name + ".in.attention_mask", Tensor::from<int64_t>({1, max_sequence_length}, masks[i]));
      monitor.probe(name + ".out", state);
    }
    prompts.push_back({Tensor::concat(std::vector<Tensor>(static_cast<size_t>(batch), state), 0),
                       std::vector<std::vector<int64_t>>(static_cast<size_t>(batch), masks[i])});
  }
  return prompts;
}

std::vector<LtxPipeline::Prompt> LtxPipeline::encode_prompts(const Run& run, bool with_negative,
                                                             const Monitor& monitor) {
  const json& a = run.request.arguments;
  warn_of_unread_prompt(run, with_negative);
  const char* const prefixes[] = {"", "negative_"};
  std::vector<Prompt> prompts(with_negative ? 2 : 1);
  std::vector<std::string> texts;
  std::vector<size_t> owner;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const std::string name = std::string(prefixes[i]) + "prompt_embeds";
    if (!a.at(name).is_null() || run.request.tensors.contains(name)) {
      prompts[i] = given_prompt(run, prefixes[i]);
      continue;
    }
    texts.push_back(i == 0 ? run.request.prompt : run.request.negative_prompt);
    owner.push_back(i);
  }
  if (!texts.empty()) {
    auto encoded = encode_texts(texts, run.latents.dim(0), a.at("max_sequence_length").get<int64_t>(), 0, monitor);
    for (size_t j = 0; j < owner.size(); ++j) prompts[owner[j]] = std::move(encoded[j]);
  }
  release_text_encoder();
  return prompts;
}

void LtxPipeline::release_text_encoder() {
  text_encoder_.reset();
  release_cached_memory();
}

Tensor LtxPipeline::answer(int64_t item, int64_t batch, const Tensor& latents, const std::vector<Prompt>& prompts,
                           const Moment& moment, const Monitor& monitor, StepCache& cache) const {
  const int64_t b = item % batch;
  const Prompt& prompt = prompts[static_cast<size_t>(item / batch)];
  const Tensor text = prompt.embeds.slice(b, b + 1);
  return cache.call(item, latents, [&](nn::BlockCache* blocks) {
    return (*transformer_)(
        latents, text.view({text.dim(1), text.dim(2)}), prompt.masks[static_cast<size_t>(b)], moment.timesteps,
        *moment.rotary, [&] { monitor.check(); }, blocks);
  });
}

Tensor LtxPipeline::predict(const Tensor& latents, const std::vector<Prompt>& prompts, const Moment& moment,
                            const Monitor& monitor, StepCache& cache) {
  const int64_t batch = latents.dim(0), branches = static_cast<int64_t>(prompts.size());
  const int64_t tokens = latents.dim(1), channels = transformer_->config().out_channels;
  Tensor prediction = Tensor::empty({branches * batch, tokens, channels});
  for (int64_t i = 0; i < branches * batch; ++i) {
    const int64_t b = i % batch;
    const Tensor out = answer(b + batch * (branches - 1 - i / batch), batch,
                              latents.slice(b, b + 1).view({tokens, latents.dim(2)}), prompts, moment, monitor, cache);
    std::memcpy(prediction.slice(i, i + 1).raw(), out.raw(), out.bytes());
  }
  if (monitor.probe) {
    std::vector<Tensor> hidden, text, mask, times, coords;
    Shape one{1};
    one.insert(one.end(), moment.timestep_shape.begin(), moment.timestep_shape.end());
    for (int64_t i = 0; i < branches; ++i) {
      const Prompt& p = prompts[static_cast<size_t>(branches - 1 - i)];
      hidden.push_back(latents);
      text.push_back(p.embeds);
      for (const auto& m : p.masks) {
        mask.push_back(Tensor::from<int64_t>({1, static_cast<int64_t>(m.size())}, m));
        times.push_back(Tensor::from<float>(one, moment.timesteps));
        if (moment.coords && (coords.empty() || !moment.coords_once))
          coords.push_back(moment.coords->view({1, 3, moment.coords->dim(1)}));
      }
    }
    monitor.probe(moment.name + ".in.hidden_states", Tensor::concat(hidden, 0));
    monitor.probe(moment.name + ".in.encoder_hidden_states", Tensor::concat(text, 0));
    monitor.probe(moment.name + ".in.encoder_attention_mask", Tensor::concat(mask, 0));
    monitor.probe(moment.name + ".in.timestep", Tensor::concat(times, 0));
    if (moment.coords) monitor.probe(moment.name + ".in.video_coords", Tensor::concat(coords, 0));
    monitor.probe(moment.name + ".out", prediction);
  }
  return prediction;
}

//! With rescale (https://arxiv.org/abs/2305.08891, 3.4) pulled towards the deviation of the text prediction.
Tensor LtxPipeline::guide(const Tensor& prediction, int64_t batch, double scale, double rescale) {
  if (prediction.dim(0) == batch) return prediction;
  Tensor out = Tensor::empty({batch, prediction.dim(1), prediction.dim(2)});
  for (int64_t b = 0; b < batch; ++b) {
    const Tensor uncond = prediction.slice(b, b + 1), text = prediction.slice(batch + b, batch + b + 1);
    Tensor clip = out.slice(b, b + 1);
    const auto u = uncond.span<float>(), t = text.span<float>();
    const auto y = clip.span<float>();
    for (size_t i = 0; i < y.size(); ++i) y[i] = u[i] + static_cast<float>(scale) * (t[i] - u[i]);
    if (rescale <= 0) continue;
    const float ratio = static_cast<float>(standard_deviation(t)) / static_cast<float>(standard_deviation(y));
    for (float& v : y) v = static_cast<float>(rescale) * (v * ratio) + static_cast<float>(1 - rescale) * v;
  }
  return out;
}

void LtxPipeline::require_own(const Run& run) const {
  const json& a = run.request.arguments;
  complete_arguments(a, arguments_);
  for (const Argument& argument : arguments_)
    if (!a.contains(argument.name))
      throw Error(ErrorKind::input, "the run has no " + argument.name, "it was begun with another model or version");
  check_sizes(a);
  const Shape wanted{a.at("num_videos_per_prompt").get<int64_t>(), extra_tokens(run) + latent_grid(a).tokens(),
                     transformer_->config().in_channels};
  if (run.latents.shape() != wanted || run.latents.dtype() != DType::f32 || run.step < 0 || run.step > run.steps)
    throw Error(
        ErrorKind::input,
        "the run's latents " + to_string(run.latents.shape()) + " are not this model's, which has " + to_string(wanted),
        "go on with the model that the run was begun with");
}

void LtxPipeline::expect_end(const Run& run, const Tensor& prediction, const Moment& now, int64_t train_timesteps) {
  denoised_ = Tensor::empty(run.latents.shape());
  const int64_t width = run.latents.dim(2), tokens = run.latents.dim(1);
  for (int64_t j = 0; j < denoised_.numel(); ++j) {
    const float t = now.timesteps[now.timesteps.size() == 1 ? 0 : static_cast<size_t>(j / width % tokens)];
    const float sigma = t / static_cast<float>(train_timesteps);
    denoised_.data<float>()[j] = run.latents.data<float>()[j] - sigma * prediction.data<float>()[j];
  }
}

void LtxPipeline::denoise(Run& run, const Monitor& monitor) {
  require_own(run);
  const json& a = run.request.arguments;
  const auto scheduler = schedule(run);
  if (run.step < run.steps) {
    monitor.report("text", 0, 1);
    const auto prompts = encode_prompts(run, guided(a), monitor);
    Tensor coords;
    const std::vector<Prompt> unguided{prompts.front()};
    auto rotary = positions(run, coords);
    const auto moment_of = [&](const Run& at) {
      const float timestep = scheduler.timesteps()[static_cast<size_t>(schedule_index(at))];
      Moment now = moment(at, timestep);
      now.name = "transformer." + std::to_string(at.step);
      now.rotary = &rotary;
      if (coords.defined()) now.coords = &coords;
      return now;
    };
    const int64_t batch = run.latents.dim(0), pass_steps = run.steps / count_passes(run);
    StepCache cache(run);
    cache.recall(run.step - run.step % pass_steps, batch * std::ssize(prompts),
                 {run.latents.dim(1), run.latents.dim(2)}, [&](int64_t item, int64_t step, const Tensor& latents) {
                   Run then = run;
                   then.step = step;
                   answer(item, batch, latents, prompts, moment_of(then), monitor, cache);
                 });
    monitor.report("denoise", run.step, run.steps);
    while (run.step < run.steps) {
      monitor.check();
      const int64_t i = run.step;
      before_step(run, scheduler.timesteps()[static_cast<size_t>(schedule_index(run))]);
      const Moment now = moment_of(run);
      const bool guides = guides_at(a, i % pass_steps, pass_steps);
      if (!guides) cache.clear(batch);
      const Tensor prediction = guide(predict(run.latents, guides ? prompts : unguided, now, monitor, cache), batch,
                                      a.at("guidance_scale").get<double>(), a.at("guidance_rescale").get<double>());
      expect_end(run, prediction, now, scheduler.options().num_train_timesteps);
      run.latents = step(run, scheduler, prediction);
      run.step = i + 1;
      if (monitor.probe) monitor.probe("step." + std::to_string(i) + ".latents", run.latents);
      if (run.step % pass_steps == 0) cache.clear();
      if (run.step < run.steps && run.step % pass_steps == 0) {
        next_pass(run);
        rotary = positions(run, coords);
      }
      monitor.report("denoise", run.step, run.steps);
      if (monitor.after_step) monitor.after_step(run);
    }
  }
  if (monitor.probe) {
    const auto list = [&](const std::vector<float>& v) {
      return Tensor::from<float>({static_cast<int64_t>(v.size())}, v);
    };
    monitor.probe("timesteps", list(scheduler.timesteps()));
    monitor.probe("sigmas", list(scheduler.sigmas()));
  }
  transformer_->release();
  release_cached_memory();
}

void LtxPipeline::decode(const Run& run, int64_t index, media::FrameSink& sink, const Monitor& monitor) {
  require_own(run);
  const json& a = run.request.arguments;
  Generator generator = run.generator, injected = run.global_generator;
  std::optional<float> timestep;
  const Tensor latents = with_decode_noise(*vae_, a, denormalize(video_latents(run, run.latents)), generator, timestep);
  decode_clip(*vae_, tiling(a), latents.slice(index, index + 1), timestep, injected, run.format, sink, monitor,
              index == 0);
}

Tensor LtxPipeline::preview(const Run& run) {
  const bool known = denoised_.defined() && denoised_.shape() == run.latents.shape();
  return small_picture(*vae_, denormalize(video_latents(run, known ? denoised_ : run.latents)));
}

}  // namespace prax::pipelines::ltx

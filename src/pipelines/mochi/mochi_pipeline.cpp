#include "pipelines/mochi/mochi_pipeline.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "base/log.h"
#include "pipelines/arguments.h"
#include "pipelines/guidance.h"
#include "pipelines/pictures.h"
#include "pipelines/t5.h"
#include "schedulers/linear_quadratic.h"
#include "tensor/memory.h"

namespace prax::pipelines::mochi {

namespace {

using nlohmann::json;

// MochiPipeline.__init__ has these as constants, whatever autoencoder it is given.
constexpr int64_t vae_spatial_scale_factor = 8, vae_temporal_scale_factor = 6;

constexpr const char* tiling_keys[] = {"tile_sample_min_height", "tile_sample_min_width", "tile_sample_stride_height",
                                       "tile_sample_stride_width"};

std::array<int64_t*, 4> sizes_of(models::mochi::Tiling& t) {
  return {&t.tile_sample_min_height, &t.tile_sample_min_width, &t.tile_sample_stride_height,
          &t.tile_sample_stride_width};
}

//! One item of a batch, without the batch's dimension.
Tensor item(const Tensor& batch, int64_t index) {
  return batch.slice(index, index + 1).view(Shape(batch.shape().begin() + 1, batch.shape().end()));
}
Tensor batched(const Tensor& t) {
  Shape shape{1};
  shape.insert(shape.end(), t.shape().begin(), t.shape().end());
  return t.view(shape);
}

//! uncond + scale (text - uncond) of [uncond, text]; the prediction itself without guidance.
Tensor guide(const Tensor& prediction, int64_t batch, double scale) {
  if (prediction.dim(0) == batch) return prediction;
  const Tensor uncond = prediction.slice(0, batch), text = prediction.slice(batch, 2 * batch);
  Tensor out = Tensor::empty(uncond.shape());
  const auto u = uncond.span<float>(), t = text.span<float>();
  const auto y = out.span<float>();
  for (size_t i = 0; i < y.size(); ++i) y[i] = u[i] + static_cast<float>(scale) * (t[i] - u[i]);
  return out;
}

}  // namespace

std::vector<Argument> reference_arguments() {
  return {
      {"height", "int", 480, "height in pixels"},
      {"width", "int", 848, "width in pixels"},
      {"num_frames", "int", 19, "frames of the clip"},
      {"num_inference_steps", "int", 64, "denoising steps"},
      {"timesteps", "floats", nullptr, "own timesteps in descending order, instead of num_inference_steps"},
      {"guidance_scale", "float", 4.5, "how strongly the prompt guides; 1 or less switches guidance off"},
      {"num_videos_per_prompt", "int", 1, "clips to make from one prompt"},
      {"latents", "file", nullptr, "initial noise [B, channels, frames, height, width] instead of drawn noise"},
      {"prompt_embeds", "file", nullptr, "encoded prompt [B, tokens, channels] instead of the prompt"},
      {"prompt_attention_mask", "file", nullptr, "0/1 for each token of prompt_embeds"},
      {"negative_prompt_embeds", "file", nullptr, "encoded negative prompt"},
      {"negative_prompt_attention_mask", "file", nullptr, "0/1 for each token of negative_prompt_embeds"},
      {"max_sequence_length", "int", 256, "tokens that the prompt is padded or cut to"},
      {"frame_rate", "float", 30.0, "frames a second of the file; the model does not see it"},
      {"vae_tiling", "tiling", nullptr,
       "decode in overlapping tiles as the reference's enable_tiling(): true, or {\"tile_sample_min_width\": 256, "
       "...}"},
  };
}

std::optional<models::mochi::Tiling> tiling_of(const json& value) {
  if (value.is_null() || value == json(false)) return {};
  models::mochi::Tiling tiling;
  if (value.is_boolean()) return tiling;
  const auto sizes = sizes_of(tiling);
  for (const auto& [key, given] : value.items()) {
    const auto at = std::find(std::begin(tiling_keys), std::end(tiling_keys), key) - std::begin(tiling_keys);
    if (at == std::ssize(tiling_keys) || !given.is_number_integer() || given.get<int64_t>() < 1)
      throw Error(ErrorKind::usage, "vae_tiling has \"" + key + "\": " + given.dump() + ", which cannot be",
                  "it takes tile_sample_min_ and tile_sample_stride_ height and width, in pixels");
    *sizes[static_cast<size_t>(at)] = given.get<int64_t>();
  }
  return tiling;
}

MochiPipeline::MochiPipeline(const checkpoint::Folder& folder, const LoadOptions& options)
    : folder_(folder),
      options_(options),
      arguments_(reference_arguments()),
      prompts_(folder_, options_),
      force_zeros_for_empty_prompt_(checkpoint::Config::read(folder.path() / "model_index.json")
                                        .get<bool>("force_zeros_for_empty_prompt", false)),
      tokenizer_(text::T5Tokenizer::load(folder_.component_path("tokenizer"))),
      scheduler_options_(schedulers::FlowMatchEulerOptions::from_config(folder_.config("scheduler"))) {
  add_step_saving(arguments_);
  apply_folder_defaults(folder_, arguments_);
  if (!prompts_.on()) text_encoder();  // opened now so that what is wrong with it is said before an hour of work
  const auto transformer = folder_.weights("transformer", options_.variant);
  const auto loras = options_.loras.empty() ? nullptr : checkpoint::LoraSet::open(options_.loras, options_.lora_mode);
  transformer_ = std::make_unique<models::mochi::Transformer>(
      folder_.config("transformer"), checkpoint::Weights(transformer, {}, loras, options_.budget()), options_.dtype);
  checkpoint::require_all_used(*transformer);
  if (loras) loras->require_all_used();
  const auto vae = folder_.weights("vae", options_.variant);
  vae_ =
      std::make_unique<models::mochi::Vae>(folder_.config("vae"), checkpoint::Weights(vae), wide_dtype(options_.dtype));
  checkpoint::require_all_used(*vae);

  const auto fits = [&](int64_t wanted, int64_t have, const std::string& what) {
    if (wanted != have)
      throw Error(ErrorKind::checkpoint,
                  folder_.path().string() + ": the transformer wants " + what + " of " + std::to_string(wanted) +
                      " channels, but there are " + std::to_string(have),
                  "the components are not from the same checkpoint");
  };
  const auto& config = transformer_->config();
  fits(config.text_embed_dim, models::T5Config::from(folder_.config("text_encoder")).d_model, "text");
  fits(config.in_channels, vae_->config().latent_channels, "latents");
  fits(config.in_channels, config.out_channels, "predictions");
}

models::T5Encoder& MochiPipeline::text_encoder() {
  if (!text_encoder_) text_encoder_ = open_t5(folder_, "text_encoder", options_);
  return *text_encoder_;
}

void MochiPipeline::check_sizes(const json& a) const {
  constexpr int64_t most_pixels = 16384, most_frames = 1 << 20, most_steps = 100000;
  require_range(a, "width", 1, most_pixels);
  require_range(a, "height", 1, most_pixels);
  require_range(a, "num_frames", 1, most_frames);
  require_range(a, "num_inference_steps", 1, most_steps);
  require_range(a, "num_videos_per_prompt", 1, 64);
  require_range(a, "max_sequence_length", 1, 4096);
  const double rate = a.at("frame_rate").get<double>();
  if (!(rate > 0 && rate <= 1000))
    throw Error(ErrorKind::usage, "frame_rate is " + a.at("frame_rate").dump() + ", which cannot be", "use 1 to 1000");
  const int64_t pixels = vae_spatial_scale_factor * transformer_->config().patch_size;
  for (const char* name : {"width", "height"}) {
    const int64_t value = a.at(name).get<int64_t>();
    if (value % pixels)
      throw Error(ErrorKind::usage,
                  std::string(name) + " is " + std::to_string(value) + ", but this model makes multiples of " +
                      std::to_string(pixels),
                  "the nearest are " + nearest_multiples(value, pixels));
  }
  auto tiling = tiling_of(a.at("vae_tiling"));
  if (!tiling) return;
  const auto sizes = sizes_of(*tiling);
  for (size_t i = 0; i < sizes.size(); ++i)
    if (*sizes[i] < vae_->config().spatial_compression_ratio())
      throw Error(ErrorKind::usage,
                  std::string("vae_tiling: ") + tiling_keys[i] + " is " + std::to_string(*sizes[i]) +
                      ", less than a pixel of the latents",
                  "use at least " + std::to_string(vae_->config().spatial_compression_ratio()));
}

//! prepare_latents: [B, C, F, H, W]
Shape MochiPipeline::latent_shape(const json& a) const {
  return {a.at("num_videos_per_prompt").get<int64_t>(), transformer_->config().in_channels,
          (a.at("num_frames").get<int64_t>() - 1) / vae_temporal_scale_factor + 1,
          a.at("height").get<int64_t>() / vae_spatial_scale_factor,
          a.at("width").get<int64_t>() / vae_spatial_scale_factor};
}

schedulers::FlowMatchEulerScheduler MochiPipeline::schedule(const json& a) const {
  schedulers::FlowMatchEulerScheduler scheduler(scheduler_options_);
  schedulers::TimestepRequest request;
  if (a.at("timesteps").is_null()) {
    request.sigmas = schedulers::linear_quadratic_schedule(a.at("num_inference_steps").get<int64_t>());
  } else {
    request.timesteps = a.at("timesteps").get<std::vector<double>>();
  }
  scheduler.set_timesteps(request);
  return scheduler;
}

Run MochiPipeline::begin(const Request& request, const Monitor&) {
  Run run;
  run.request = request;
  run.request.arguments = complete_arguments(request.arguments, arguments_);
  const json& a = run.request.arguments;
  require_utf8(request.prompt, "the prompt");
  require_utf8(request.negative_prompt, "the negative prompt");
  check_sizes(a);
  check_step_saving(a);
  run.generator = Generator(request.seed);
  run.global_generator = Generator(request.global_seed.value_or(request.seed));
  run.steps = static_cast<int64_t>(schedule(a).timesteps().size());
  const Shape shape = latent_shape(a);
  const auto& vae = vae_->config();
  run.format = {static_cast<int>(shape[4] * vae.spatial_compression_ratio()),
                static_cast<int>(shape[3] * vae.spatial_compression_ratio()),
                (shape[2] - 1) * vae.temporal_compression_ratio() + 1, a.at("frame_rate").get<double>()};
  // The reference's documentation asks for 84 frames, which it makes 79 of.
  if (const int64_t asked = a.at("num_frames").get<int64_t>(); asked != run.format.frames)
    log_warning("this model makes " + std::to_string(vae.temporal_compression_ratio()) + "k+1 frames: of " +
                std::to_string(asked) + " it makes " + std::to_string(run.format.frames) + ", the nearest are " +
                nearest_multiples(asked, vae.temporal_compression_ratio(), 1));
  const Tensor given = tensor_argument(run.request, "latents");
  if (given.defined() && given.shape() != shape)
    throw Error(ErrorKind::usage,
                "the given latents are " + to_string(given.shape()) + ", but this clip needs " + to_string(shape),
                "width, height and num_frames must be those that they were made for");
  run.latents = given.defined() ? given.clone() : run.generator.randn(shape);
  release_cached_memory();
  denoised_ = {};
  return run;
}

MochiPipeline::Prompt MochiPipeline::given_prompt(const Run& run, const std::string& prefix) const {
  const Tensor flags = tensor_argument(run.request, prefix + "prompt_attention_mask");
  if (!flags.defined())
    throw Error(ErrorKind::usage, prefix + "prompt_embeds was given without " + prefix + "prompt_attention_mask",
                "give both");
  Prompt p{tensor_argument(run.request, prefix + "prompt_embeds"), {}};
  const int64_t batch = run.latents.dim(0), channels = transformer_->config().text_embed_dim;
  if (p.embeds.rank() != 3 || p.embeds.dim(0) != batch || p.embeds.dim(2) != channels ||
      flags.shape() != Shape{batch, p.embeds.dim(1)})
    throw Error(ErrorKind::usage,
                prefix + "prompt_embeds " + to_string(p.embeds.shape()) + " with a mask " + to_string(flags.shape()) +
                    " does not fit " + std::to_string(batch) + " clips of " + std::to_string(channels) +
                    " text channels",
                "the embeddings must come from this model's text encoder");
  for (int64_t b = 0; b < batch; ++b) {
    const Tensor row = item(flags, b);
    std::vector<int64_t> mask;
    for (float flag : row.span<float>()) mask.push_back(flag != 0 ? 1 : 0);
    if (!std::is_sorted(mask.rbegin(), mask.rend()))
      throw Error(ErrorKind::usage, prefix + "prompt_attention_mask has text behind padding",
                  "pad the prompt at its end");
    p.masks.push_back(std::move(mask));
  }
  return p;
}

MochiPipeline::Prompt MochiPipeline::encode_text(const std::string& text, int64_t batch, int64_t max_sequence_length,
                                                 int64_t call, const Monitor& monitor) {
  auto encoding = tokenizer_.encode(text, max_sequence_length);
  if (encoding.truncated > 0)
    log_warning("a prompt is too long: its last " + std::to_string(encoding.truncated) +
                " tokens are cut (max_sequence_length is " + std::to_string(max_sequence_length) + ")");
  if (force_zeros_for_empty_prompt_ && text.empty()) {
    std::fill(encoding.ids.begin(), encoding.ids.end(), 0);
    std::fill(encoding.mask.begin(), encoding.mask.end(), 0);
  }
  const auto encode = [&](const auto& ids, const auto& masks) {
    return text_encoder()(ids, masks, [&](int64_t done, int64_t all) {
      monitor.check();
      monitor.report("text", done, all);
    });
  };
  const Tensor states = prompts_.encoded("text_encoder", {encoding.ids}, {encoding.mask}, encode);
  if (monitor.probe) {
    const std::string name = "text_encoder." + std::to_string(call);
    monitor.probe(name + ".in.0", Tensor::from<int64_t>({1, max_sequence_length}, encoding.ids));
    monitor.probe(name + ".in.attention_mask", Tensor::from<int64_t>({1, max_sequence_length}, encoding.mask));
    monitor.probe(name + ".out", states);
  }
  return {Tensor::concat(std::vector<Tensor>(static_cast<size_t>(batch), states), 0),
          std::vector<std::vector<int64_t>>(static_cast<size_t>(batch), encoding.mask)};
}

std::vector<MochiPipeline::Prompt> MochiPipeline::encode_prompts(const Run& run, const Monitor& monitor) {
  const json& a = run.request.arguments;
  warn_of_unread_prompt(run, guided(a));
  std::vector<Prompt> prompts;
  int64_t call = 0;
  for (const std::string prefix : {"", "negative_"}) {
    if (!prefix.empty() && !guided(a)) break;
    const std::string name = prefix + "prompt_embeds";
    const bool given = !a.at(name).is_null() || run.request.tensors.contains(name);
    prompts.insert(prompts.begin(),
                   given
                       ? given_prompt(run, prefix)
                       : encode_text(prefix.empty() ? run.request.prompt : run.request.negative_prompt,
                                     run.latents.dim(0), a.at("max_sequence_length").get<int64_t>(), call++, monitor));
  }
  text_encoder_.reset();
  release_cached_memory();
  if (prompts.front().embeds.shape() != prompts.back().embeds.shape())
    throw Error(ErrorKind::usage,
                "the encoded prompts are " + to_string(prompts.back().embeds.shape()) + " and " +
                    to_string(prompts.front().embeds.shape()),
                "prompt_embeds and negative_prompt_embeds must have the same shape");
  return prompts;
}

Tensor MochiPipeline::answer(int64_t item, int64_t batch, const Tensor& latents, const std::vector<Prompt>& prompts,
                             float timestep, const models::mochi::Rotary& rotary, const Monitor& monitor,
                             StepCache& cache) const {
  const int64_t b = item % batch;
  const Prompt& prompt = prompts[prompts.size() - 1 - static_cast<size_t>(item / batch)];
  return cache.call(item, latents, [&](nn::BlockCache* blocks) {
    return (*transformer_)(
        latents, mochi::item(prompt.embeds, b), prompt.masks[static_cast<size_t>(b)], timestep, rotary,
        [&] { monitor.check(); }, blocks);
  });
}

Tensor MochiPipeline::predict(const Run& run, const std::vector<Prompt>& prompts, float timestep,
                              const models::mochi::Rotary& rotary, const Monitor& monitor, StepCache& cache) const {
  std::vector<Tensor> hidden, text, masks;
  for (const Prompt& prompt : prompts) {
    hidden.push_back(run.latents);
    text.push_back(prompt.embeds);
  }
  Shape shape = run.latents.shape();
  const int64_t batch = shape[0];
  shape[0] *= static_cast<int64_t>(prompts.size());
  Tensor prediction = Tensor::empty(shape);
  for (int64_t i = 0; i < shape[0]; ++i) {
    const auto& mask = prompts[static_cast<size_t>(i / batch)].masks[static_cast<size_t>(i % batch)];
    const Tensor out = answer(i % batch + batch * (std::ssize(prompts) - 1 - i / batch), batch,
                              item(run.latents, i % batch), prompts, timestep, rotary, monitor, cache);
    std::memcpy(prediction.slice(i, i + 1).raw(), out.raw(), out.bytes());
    if (monitor.probe) masks.push_back(Tensor::from<int64_t>({1, static_cast<int64_t>(mask.size())}, mask));
  }
  if (monitor.probe) {
    const std::string name = "transformer." + std::to_string(run.step);
    monitor.probe(name + ".in.hidden_states", Tensor::concat(hidden, 0));
    monitor.probe(name + ".in.encoder_hidden_states", Tensor::concat(text, 0));
    monitor.probe(name + ".in.encoder_attention_mask", Tensor::concat(masks, 0));
    monitor.probe(name + ".in.timestep", Tensor::full({shape[0]}, timestep));
    monitor.probe(name + ".out", prediction);
  }
  return prediction;
}

void MochiPipeline::require_own(const Run& run) const {
  const json& a = run.request.arguments;
  complete_arguments(a, arguments_);
  for (const Argument& argument : arguments_)
    if (!a.contains(argument.name))
      throw Error(ErrorKind::input, "the run has no " + argument.name, "it was begun with another model or version");
  check_sizes(a);
  const Shape wanted = latent_shape(a);
  if (run.latents.shape() != wanted || run.latents.dtype() != DType::f32 || run.step < 0 || run.step > run.steps ||
      run.steps != static_cast<int64_t>(schedule(a).timesteps().size()))
    throw Error(
        ErrorKind::input,
        "the run's latents " + to_string(run.latents.shape()) + " are not this model's, which has " + to_string(wanted),
        "go on with the model that the run was begun with");
}

void MochiPipeline::denoise(Run& run, const Monitor& monitor) {
  require_own(run);
  const json& a = run.request.arguments;
  const auto scheduler = schedule(a);
  const std::vector<float>& sigmas = scheduler.sigmas();
  if (run.step < run.steps) {
    monitor.report("text", 0, 1);
    const auto prompts = encode_prompts(run, monitor);
    const auto rotary = transformer_->rotary(run.latents.dim(2), run.latents.dim(3), run.latents.dim(4));
    const std::vector<Prompt> unguided{prompts.back()};
    const int64_t batch = run.latents.dim(0);
    StepCache cache(run);
    cache.recall(0, batch * std::ssize(prompts), item(run.latents, 0).shape(),
                 [&](int64_t each, int64_t step, const Tensor& latents) {
                   answer(each, batch, latents, prompts, scheduler.timesteps()[static_cast<size_t>(step)], rotary,
                          monitor, cache);
                 });
    monitor.report("denoise", run.step, run.steps);
    while (run.step < run.steps) {
      monitor.check();
      const auto i = static_cast<size_t>(run.step);
      const bool guides = guides_at(a, run.step, run.steps);
      if (!guides) cache.clear(batch);
      const Tensor prediction =
          guide(predict(run, guides ? prompts : unguided, scheduler.timesteps()[i], rotary, monitor, cache), batch,
                a.at("guidance_scale").get<double>());
      // Where the clips end if the prediction holds.
      denoised_ = Tensor::empty(run.latents.shape());
      for (int64_t j = 0; j < denoised_.numel(); ++j)
        denoised_.data<float>()[j] =
            run.latents.data<float>()[j] + (sigmas.back() - sigmas[i]) * prediction.data<float>()[j];
      // The reference's call passes no generator: a stochastic schedule draws from the global one.
      run.latents = scheduler.step(prediction, run.step, run.latents, &run.global_generator);
      if (monitor.probe) monitor.probe("step." + std::to_string(run.step) + ".latents", run.latents);
      ++run.step;
      if (run.step == run.steps) cache.clear();
      monitor.report("denoise", run.step, run.steps);
      if (monitor.after_step) monitor.after_step(run);
    }
  }
  if (monitor.probe) {
    const auto list = [&](const std::vector<float>& v) {
      return Tensor::from<float>({static_cast<int64_t>(v.size())}, v);
    };
    monitor.probe("timesteps", list(scheduler.timesteps()));
    monitor.probe("sigmas", list(sigmas));
  }
  transformer_->release();
  release_cached_memory();
}

Tensor MochiPipeline::denormalize(const Tensor& latents) const {
  const Tensor &mean = vae_->latents_mean(), &deviation = vae_->latents_std();
  const float factor = vae_->config().scaling_factor;
  const bool known = mean.defined() && deviation.defined();
  const int64_t channels = latents.dim(1), pixels = latents.numel() / (latents.dim(0) * channels);
  Tensor out = Tensor::empty(latents.shape());
  for (int64_t i = 0; i < out.numel(); ++i) {
    const int64_t c = i / pixels % channels;
    const float value = latents.data<float>()[i];
    out.data<float>()[i] = known ? value * deviation.data<float>()[c] / factor + mean.data<float>()[c] : value / factor;
  }
  return out;
}

void MochiPipeline::decode(const Run& run, int64_t index, media::FrameSink& sink, const Monitor& monitor) {
  require_own(run);
  const Tensor clip = denormalize(run.latents.slice(index, index + 1));
  std::vector<Tensor> pictures;
  sink.begin(run.format);
  monitor.report("decode", 0, clip.dim(2));
  vae_->decode(
      item(clip, 0),
      [&](const Tensor& picture) {
        monitor.check();
        if (monitor.probe && index == 0) pictures.push_back(batched(picture));
        const Tensor rgb = to_rgb(picture);
        sink.frame(rgb.span<float>());
      },
      [&](int64_t done, int64_t all) {
        monitor.check();
        monitor.report("decode", done, all);
      },
      tiling_of(run.request.arguments.at("vae_tiling")));
  sink.finish();
  if (pictures.empty()) return;
  monitor.probe("vae.decode.0.in.0", clip);
  monitor.probe("vae.decode.0.out", batched(Tensor::concat(pictures, 0).permute({3, 0, 1, 2})));
}

//! The middle frame of the first clip, from latents that are averaged over squares.
Tensor MochiPipeline::encode(const Tensor& pixels) {
  const Tensor clip = pixels.view({pixels.dim(1), pixels.dim(2), pixels.dim(3), pixels.dim(4)});
  const Tensor moments = vae_->encode(clip.permute({1, 2, 3, 0}));
  return moments.view({1, moments.dim(0), moments.dim(1), moments.dim(2), moments.dim(3)});
}

Tensor MochiPipeline::preview(const Run& run) {
  constexpr int64_t most_cells = 12;
  const bool known = denoised_.defined() && denoised_.shape() == run.latents.shape();
  const Tensor latents = denormalize(known ? denoised_ : run.latents);
  const int64_t channels = latents.dim(1), frames = latents.dim(2), rows = latents.dim(3), columns = latents.dim(4);
  const int64_t side = (std::max(rows, columns) + most_cells - 1) / most_cells;
  const int64_t height = std::max<int64_t>(1, rows / side), width = std::max<int64_t>(1, columns / side);
  Tensor small = Tensor::empty({channels, 1, height, width});
  for (int64_t i = 0; i < small.numel(); ++i) {
    const int64_t c = i / (height * width), top = i / width % height * side, left = i % width * side;
    const int64_t bottom = std::min(top + side, rows), right = std::min(left + side, columns);
    float sum = 0;
    for (int64_t y = top; y < bottom; ++y)
      for (int64_t x = left; x < right; ++x)
        sum += latents.data<float>()[((c * frames + frames / 2) * rows + y) * columns + x];
    small.data<float>()[i] = sum / static_cast<float>((bottom - top) * (right - left));
  }
  Tensor picture;
  vae_->decode(small, [&](const Tensor& decoded) { picture = to_rgb(decoded); });
  return picture;
}

}  // namespace prax::pipelines::mochi

#include "pipelines/ltx/ltx_pipeline.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/log.h"
#include "pipelines/arguments.h"
#include "tensor/memory.h"
#include "tensor/parallel.h"

namespace prax::pipelines::ltx {

namespace {

using nlohmann::json;

//! LTXPipeline.__call__, in its order.
const std::vector<Argument> reference_arguments{
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
};

const char* const ignored_text_tensors[] = {"decoder.*", "lm_head.weight", "encoder.embed_tokens.weight",
                                            "shared.weight"};

//! "legal below or above": 500 with 32 -> "480 or 512".
std::string nearest_multiples(int64_t value, int64_t multiple, int64_t offset = 0) {
  const int64_t below = std::max<int64_t>(0, (value - offset) / multiple) * multiple + offset;
  const int64_t above = below + multiple;
  return below > 0 && below >= (offset ? 1 : multiple) ? std::to_string(below) + " or " + std::to_string(above)
                                                       : std::to_string(above);
}

void require_range(const json& arguments, const char* name, int64_t low, int64_t high) {
  const int64_t value = arguments.at(name).get<int64_t>();
  if (value < low || value > high)
    throw Error(ErrorKind::usage, std::string(name) + " is " + std::to_string(value) + ", which cannot be",
                "use " + std::to_string(low) + " to " + std::to_string(high));
}

//! What the decoder gives in -1..1, as a picture in 0..1.
Tensor to_rgb(const Tensor& decoded) {
  Tensor rgb = Tensor::empty(decoded.shape());
  for (int64_t i = 0; i < rgb.numel(); ++i)
    rgb.data<float>()[i] = std::clamp(decoded.data<float>()[i] / 2.0f + 0.5f, 0.0f, 1.0f);
  return rgb;
}

bool guided(const json& arguments) { return arguments.at("guidance_scale").get<double>() > 1.0; }

//! Standard deviation over all values with Bessel's correction, as torch.std.
double standard_deviation(std::span<const float> values) {
  double mean = 0, squares = 0;
  for (float v : values) mean += v;
  mean /= static_cast<double>(values.size());
  for (float v : values) squares += (v - mean) * (v - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

}  // namespace

LtxPipeline::LtxPipeline(const checkpoint::Folder& folder, const LoadOptions& options)
    : folder_(folder),
      options_(options),
      arguments_(reference_arguments),
      tokenizer_(text::T5Tokenizer::load(folder_.component_path("tokenizer"))) {
  apply_folder_defaults(folder_, arguments_);
  scheduler_options_ = schedulers::FlowMatchEulerOptions::from_config(folder_.config("scheduler"));
  text_encoder();  // opened now so that what is wrong with it is said before an hour of work
  const auto transformer = folder_.weights("transformer", options_.variant);
  transformer_ = std::make_unique<models::ltx::Transformer>(folder_.config("transformer"),
                                                            checkpoint::Weights(transformer), options_.dtype);
  checkpoint::require_all_used(*transformer);
  const auto vae = folder_.weights("vae", options_.variant);
  vae_ = std::make_unique<models::ltx::Vae>(folder_.config("vae"), checkpoint::Weights(vae), options_.dtype);
  checkpoint::require_all_used(*vae);
  if (transformer_->config().caption_channels != text_encoder().config().d_model)
    throw Error(ErrorKind::checkpoint,
                folder_.path().string() + ": the transformer wants text of " +
                    std::to_string(transformer_->config().caption_channels) + " channels, the text encoder gives " +
                    std::to_string(text_encoder().config().d_model),
                "the components are not from the same checkpoint");
}

models::T5Encoder& LtxPipeline::text_encoder() {
  if (!text_encoder_) {
    const auto weights = folder_.weights("text_encoder", options_.variant);
    text_encoder_ = std::make_unique<models::T5Encoder>(folder_.config("text_encoder"), checkpoint::Weights(weights),
                                                        options_.dtype);
    checkpoint::require_all_used(*weights, {std::begin(ignored_text_tensors), std::end(ignored_text_tensors)});
  }
  return *text_encoder_;
}

LtxPipeline::Grid LtxPipeline::latent_grid(const json& arguments) const {
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
  require_range(arguments, "num_videos_per_prompt", 1, 64);
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

//! latents * std / scaling_factor + mean, a channel at a time
Tensor LtxPipeline::denormalize(const Tensor& latents) const {
  Tensor out = Tensor::empty(latents.shape());
  const int64_t channels = latents.dim(1), inner = latents.numel() / latents.dim(0) / channels;
  const float factor = vae_->config().scaling_factor;
  for (int64_t i = 0; i < latents.numel(); ++i) {
    const int64_t c = i / inner % channels;
    out.data<float>()[i] = latents.data<float>()[i] * vae_->latents_std().data<float>()[c] / factor +
                           vae_->latents_mean().data<float>()[c];
  }
  return out;
}

Tensor LtxPipeline::initial_latents(const json& arguments, Generator& generator) const {
  const Grid g = latent_grid(arguments);
  const Shape shape{arguments.at("num_videos_per_prompt").get<int64_t>(), transformer_->config().in_channels, g.frames,
                    g.height, g.width};
  if (arguments.at("latents").is_null()) return pack(generator.randn(shape));
  Tensor given = read_tensor(arguments.at("latents").get<std::string>());
  const Shape wanted{shape[0], g.tokens(), transformer_->config().in_channels};
  if (given.shape() != wanted)
    throw Error(ErrorKind::usage,
                "the given latents are " + to_string(given.shape()) + ", but this clip needs " + to_string(wanted),
                "width, height and num_frames must be those that they were made for");
  return given;
}

Run LtxPipeline::begin(const Request& request) {
  Run run;
  run.request = request;
  run.request.arguments = complete_arguments(request.arguments, arguments_);
  const json& a = run.request.arguments;
  require_utf8(request.prompt, "the prompt");
  require_utf8(request.negative_prompt, "the negative prompt");
  check_sizes(a);
  run.generator = Generator(request.seed);
  run.global_generator = Generator(request.global_seed.value_or(request.seed));
  run.latents = initial_latents(a, run.generator);
  run.format = {a.at("width").get<int>(), a.at("height").get<int>(), a.at("num_frames").get<int64_t>(),
                a.at("frame_rate").get<double>()};
  run.steps = static_cast<int64_t>(schedule(run).timesteps().size());
  denoised_ = {};
  return run;
}

schedulers::FlowMatchEulerScheduler LtxPipeline::schedule(const Run& run) const {
  const json& a = run.request.arguments;
  const auto& o = scheduler_options_;
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

LtxPipeline::Prompt LtxPipeline::given_prompt(const json& arguments, const std::string& prefix) const {
  const json& mask = arguments.at(prefix + "prompt_attention_mask");
  if (mask.is_null())
    throw Error(ErrorKind::usage, prefix + "prompt_embeds was given without " + prefix + "prompt_attention_mask",
                "give both");
  Prompt p{read_tensor(arguments.at(prefix + "prompt_embeds").get<std::string>()), {}};
  const Tensor flags = read_tensor(mask.get<std::string>());
  const int64_t batch = arguments.at("num_videos_per_prompt").get<int64_t>();
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

//! The prompt and, when guided, the negative prompt, in the order prompt, negative.
std::vector<LtxPipeline::Prompt> LtxPipeline::encode_prompts(const Run& run, bool with_negative,
                                                             const Monitor& monitor) {
  const json& a = run.request.arguments;
  const int64_t length = a.at("max_sequence_length").get<int64_t>(), batch = run.latents.dim(0);
  const char* const prefixes[] = {"", "negative_"};
  std::vector<Prompt> prompts(with_negative ? 2 : 1);
  std::vector<std::vector<int64_t>> ids, masks;
  std::vector<size_t> owner;
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (!a.at(std::string(prefixes[i]) + "prompt_embeds").is_null()) {
      prompts[i] = given_prompt(a, prefixes[i]);
      continue;
    }
    const auto encoding = tokenizer_.encode(i == 0 ? run.request.prompt : run.request.negative_prompt, length);
    if (encoding.truncated > 0)
      log_warning(std::string(i == 0 ? "the prompt" : "the negative prompt") + " is too long: its last " +
                  std::to_string(encoding.truncated) + " tokens are cut (max_sequence_length is " +
                  std::to_string(length) + ")");
    ids.push_back(encoding.ids);
    masks.push_back(encoding.mask);
    owner.push_back(i);
  }
  if (!ids.empty()) {
    const Tensor states = text_encoder()(ids, [&](int64_t done, int64_t all) {
      monitor.check();
      monitor.report("text", done, all);
    });
    for (size_t j = 0; j < ids.size(); ++j) {
      const int64_t row = static_cast<int64_t>(j);
      const Tensor state = states.slice(row, row + 1);
      if (monitor.probe) {
        const std::string name = "text_encoder." + std::to_string(j);
        monitor.probe(name + ".in.0", Tensor::from<int64_t>({1, length}, ids[j]));
        monitor.probe(name + ".out", state);
      }
      Prompt& p = prompts[owner[j]];
      p.embeds = Tensor::concat(std::vector<Tensor>(static_cast<size_t>(batch), state), 0);
      p.masks.assign(static_cast<size_t>(batch), masks[j]);
    }
  }
  text_encoder_.reset();
  release_cached_memory();
  return prompts;
}

//! The denoiser's answer for every clip: negative prompt first, as the reference stacks them. [branches * B, tokens, C]
Tensor LtxPipeline::predict(const Run& run, const std::vector<Prompt>& prompts, const models::ltx::Rotary& rotary,
                            float timestep, int64_t step, const Monitor& monitor) {
  const int64_t batch = run.latents.dim(0), branches = static_cast<int64_t>(prompts.size());
  const int64_t tokens = run.latents.dim(1), channels = transformer_->config().out_channels;
  Tensor prediction = Tensor::empty({branches * batch, tokens, channels});
  for (int64_t i = 0; i < branches * batch; ++i) {
    const Prompt& prompt = prompts[static_cast<size_t>(branches - 1 - i / batch)];
    const int64_t b = i % batch;
    const Tensor text = prompt.embeds.slice(b, b + 1);
    const Tensor out = (*transformer_)(run.latents.slice(b, b + 1).view({tokens, run.latents.dim(2)}),
                                       text.view({text.dim(1), text.dim(2)}), prompt.masks[static_cast<size_t>(b)],
                                       std::span(&timestep, 1), rotary, [&] { monitor.check(); });
    std::memcpy(prediction.slice(i, i + 1).raw(), out.raw(), out.bytes());
  }
  if (monitor.probe) {
    const std::string name = "transformer." + std::to_string(step);
    std::vector<Tensor> hidden, text, mask;
    for (int64_t i = 0; i < branches; ++i) {
      const Prompt& p = prompts[static_cast<size_t>(branches - 1 - i)];
      hidden.push_back(run.latents);
      text.push_back(p.embeds);
      for (const auto& m : p.masks) mask.push_back(Tensor::from<int64_t>({1, static_cast<int64_t>(m.size())}, m));
    }
    monitor.probe(name + ".in.hidden_states", Tensor::concat(hidden, 0));
    monitor.probe(name + ".in.encoder_hidden_states", Tensor::concat(text, 0));
    monitor.probe(name + ".in.encoder_attention_mask", Tensor::concat(mask, 0));
    monitor.probe(name + ".in.timestep", Tensor::full({branches * batch}, timestep));
    monitor.probe(name + ".out", prediction);
  }
  return prediction;
}

//! uncond + scale (text - uncond); with rescale (https://arxiv.org/abs/2305.08891, 3.4) pulled towards the deviation
//! of the text prediction.
Tensor LtxPipeline::guide(const Tensor& prediction, int64_t batch, double scale, double rescale) const {
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
  const Shape wanted{a.at("num_videos_per_prompt").get<int64_t>(), latent_grid(a).tokens(),
                     transformer_->config().in_channels};
  if (run.latents.shape() != wanted || run.latents.dtype() != DType::f32 || run.step < 0 || run.step > run.steps)
    throw Error(
        ErrorKind::input,
        "the run's latents " + to_string(run.latents.shape()) + " are not this model's, which has " + to_string(wanted),
        "go on with the model that the run was begun with");
}

void LtxPipeline::denoise(Run& run, const Monitor& monitor) {
  require_own(run);
  const json& a = run.request.arguments;
  const auto scheduler = schedule(run);
  if (run.step < run.steps) {
    monitor.report("text", 0, 1);
    const auto prompts = encode_prompts(run, guided(a), monitor);
    const Grid grid = latent_grid(a);
    const auto& vae = vae_->config();
    const float spatial = static_cast<float>(vae.spatial_compression_ratio);
    const float scale[3] = {
        static_cast<float>(static_cast<double>(vae.temporal_compression_ratio) / a.at("frame_rate").get<double>()),
        spatial, spatial};
    const auto rotary = transformer_->rotary(grid.frames, grid.height, grid.width, scale);
    monitor.report("denoise", run.step, run.steps);
    while (run.step < run.steps) {
      monitor.check();
      const int64_t i = run.step;
      const Tensor prediction =
          guide(predict(run, prompts, rotary, scheduler.timesteps()[static_cast<size_t>(i)], i, monitor),
                run.latents.dim(0), a.at("guidance_scale").get<double>(), a.at("guidance_rescale").get<double>());
      denoised_ = Tensor::empty(run.latents.shape());
      const float sigma = scheduler.sigmas()[static_cast<size_t>(i)];
      for (int64_t j = 0; j < denoised_.numel(); ++j)
        denoised_.data<float>()[j] = run.latents.data<float>()[j] - sigma * prediction.data<float>()[j];
      // The reference's call passes no generator: a stochastic schedule draws from the global one.
      run.latents = scheduler.step(prediction, i, run.latents, &run.global_generator);
      run.step = i + 1;
      if (monitor.probe) monitor.probe("step." + std::to_string(i) + ".latents", run.latents);
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
  Tensor latents = denormalize(unpack(run.latents, latent_grid(a)));
  Generator generator = run.generator, global_generator = run.global_generator;
  std::optional<float> timestep;
  if (vae_->config().timestep_conditioning) {
    // The reference mixes noise of the whole batch in, drawn after the initial latents.
    const Tensor noise = generator.randn(latents.shape());
    timestep = a.at("decode_timestep").get<float>();
    const float share = a.at("decode_noise_scale").is_null() ? *timestep : a.at("decode_noise_scale").get<float>();
    for (int64_t i = 0; i < latents.numel(); ++i)
      latents.data<float>()[i] = (1.0f - share) * latents.data<float>()[i] + share * noise.data<float>()[i];
  }
  const Tensor clip = latents.slice(index, index + 1);
  std::vector<Tensor> pictures;
  sink.begin(run.format);
  monitor.report("decode", 0, clip.dim(2));
  vae_->decode(
      clip.view({clip.dim(1), clip.dim(2), clip.dim(3), clip.dim(4)}), timestep, global_generator,
      [&](const Tensor& picture) {
        monitor.check();
        if (monitor.probe) pictures.push_back(picture);
        const Tensor rgb = to_rgb(picture);
        sink.frame(rgb.span<float>());
      },
      [&](int64_t done, int64_t all) {
        monitor.check();
        monitor.report("decode", done, all);
      });
  sink.finish();
  if (monitor.probe && index == 0) {
    monitor.probe("vae.decode.0.in.0", clip);
    if (timestep) monitor.probe("vae.decode.0.in.1", Tensor::full({1}, *timestep));
    const Tensor video = Tensor::concat(pictures, 0)
                             .view({static_cast<int64_t>(pictures.size()), run.format.height, run.format.width, -1});
    monitor.probe("vae.decode.0.out",
                  video.permute({3, 0, 1, 2}).view({1, video.dim(3), video.dim(0), video.dim(1), video.dim(2)}));
  }
}

//! The middle latent frame alone through the decoder, made smaller first where the picture is large.
Tensor LtxPipeline::preview(const Run& run) {
  constexpr int64_t most_cells = 16;
  const bool known = denoised_.defined() && denoised_.shape() == run.latents.shape();
  const Grid g = latent_grid(run.request.arguments);
  const Tensor latents = denormalize(unpack(known ? denoised_ : run.latents, g)).slice(0, 1);
  const int64_t shrink = (std::max(g.height, g.width) + most_cells - 1) / most_cells;
  const int64_t height = std::max<int64_t>(1, g.height / shrink), width = std::max<int64_t>(1, g.width / shrink);
  Tensor small = Tensor::zeros({latents.dim(1), 1, height, width});
  for (int64_t c = 0; c < latents.dim(1); ++c)
    for (int64_t y = 0; y < height * shrink; ++y)
      for (int64_t x = 0; x < width * shrink; ++x) {
        if (y >= g.height || x >= g.width) continue;
        small.data<float>()[(c * height + y / shrink) * width + x / shrink] +=
            latents.data<float>()[((c * g.frames + g.frames / 2) * g.height + y) * g.width + x] /
            static_cast<float>(shrink * shrink);
      }
  Generator noise(0);
  Tensor preview;
  vae_->decode(small, run.request.arguments.at("decode_timestep").get<float>(), noise,
               [&](const Tensor& picture) { preview = to_rgb(picture); });
  return preview;
}

}  // namespace prax::pipelines::ltx

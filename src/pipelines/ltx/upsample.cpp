#include "pipelines/ltx/upsample.h"

#include "base/error.h"
#include "base/log.h"
#include "pipelines/arguments.h"
#include "pipelines/ltx/decoding.h"
#include "pipelines/pictures.h"
#include "tensor/memory.h"

namespace prax::pipelines::ltx {

namespace {

using nlohmann::json;

std::vector<Argument> upsample_arguments() {
  return {
      {"video", "clip", nullptr, "the clip to make larger"},
      {"height", "int", nullptr, "height of the clip before it is made larger; its own when absent"},
      {"width", "int", nullptr, "width of the clip before it is made larger; its own when absent"},
      {"latents", "file", nullptr, "latents [B, C, F, H, W] instead of a clip"},
      {"decode_timestep", "float", 0.0, "timestep at which the video is decoded (decoders with timestep conditioning)"},
      {"decode_noise_scale", "float", nullptr, "share of noise mixed in before decoding; decode_timestep when absent"},
      {"adain_factor", "float", 0.0, "how far each channel takes the statistics that it had before"},
      {"tone_map_compression_ratio", "float", 0.0, "how strongly large latents are drawn in (0 to 1)"},
      {"frame_rate", "float", nullptr, "frames a second of the result; the clip's own, or 25"},
      {"vae_tiling", "tiling", nullptr, tiling_help},
      {"resize_mode", "string", "default", resize_mode_help},
  };
}

}  // namespace

std::unique_ptr<models::ltx::LatentUpsampler> open_upsampler(const checkpoint::Folder& folder,
                                                             const std::string& variant, DType dtype,
                                                             const models::ltx::VaeConfig& vae) {
  const auto weights = folder.weights("latent_upsampler", variant);
  auto upsampler = std::make_unique<models::ltx::LatentUpsampler>(folder.config("latent_upsampler"),
                                                                  checkpoint::Weights(weights), dtype);
  checkpoint::require_all_used(*weights);
  if (upsampler->config().in_channels != vae.latent_channels)
    throw Error(ErrorKind::checkpoint,
                folder.path().string() + ": the upsampler works on " + std::to_string(upsampler->config().in_channels) +
                    " channels, the autoencoder has " + std::to_string(vae.latent_channels),
                "the components are not from the same checkpoint");
  return upsampler;
}

Upsample::Upsample(const checkpoint::Folder& folder, const LoadOptions& options)
    : folder_(folder), options_(options), arguments_(upsample_arguments()) {
  apply_folder_defaults(folder_, arguments_);
  const auto vae = folder_.weights("vae", options_.variant);
  vae_ =
      std::make_unique<models::ltx::Vae>(folder_.config("vae"), checkpoint::Weights(vae), wide_dtype(options_.dtype));
  checkpoint::require_all_used(*vae);
  upsampler_ = open_upsampler(folder_, options_.variant, wide_dtype(options_.dtype), vae_->config());
}

Upsample::~Upsample() = default;

LatentScale Upsample::scale() const {
  return {vae_->latents_mean(), vae_->latents_std(), vae_->config().scaling_factor};
}

Run Upsample::begin(const Request& request, const Monitor& monitor) {
  Run run;
  run.request = request;
  run.request.arguments = complete_arguments(request.arguments, arguments_);
  json& a = run.request.arguments;
  const media::Fit fit = media::fit_named(a.at("resize_mode").get<std::string>());
  const double tone = a.at("tone_map_compression_ratio").get<double>();
  if (!(tone >= 0 && tone <= 1))
    throw Error(ErrorKind::usage, "tone_map_compression_ratio is " + json(tone).dump() + ", which cannot be",
                "use 0 to 1");
  run.generator = Generator(request.seed);
  run.global_generator = Generator(request.global_seed.value_or(request.seed));
  Tensor latents = tensor_argument(run.request, "latents");
  if (latents.defined() == !a.at("video").is_null())
    throw Error(ErrorKind::usage,
                latents.defined() ? "video and latents were given together" : "there is nothing to upsample",
                "give a clip as video, or its latents");
  const int64_t group = vae_->config().temporal_compression_ratio, cell = vae_->config().spatial_compression_ratio;
  double rate = a.at("frame_rate").is_null() ? 0 : a.at("frame_rate").get<double>();
  if (!latents.defined()) {
    media::Clip clip = read_clip_argument(a.at("video"));
    const auto given = static_cast<int64_t>(clip.frames.size());
    const int64_t kept = given % group == 1 || group == 1 ? given : given / group * group + 1;
    // Of a clip of a multiple of the group the reference would keep one frame more than it has.
    const int64_t frames = kept > given ? kept - group : kept;
    if (frames < given)
      log_warning("of " + std::to_string(given) + " frames the first " + std::to_string(frames) + " are used");
    if (frames < 1)
      throw Error(ErrorKind::input, "the clip has " + std::to_string(given) + " frames, too few to upsample",
                  "give at least " + std::to_string(group + 1));
    clip.frames.resize(static_cast<size_t>(frames));
    for (const auto& [name, own] :
         {std::pair{"width", clip.frames[0].width}, std::pair{"height", clip.frames[0].height}}) {
      if (a.at(name).is_null()) a[name] = std::max<int64_t>(cell, own / cell * cell);
      require_range(a, name, 1, 8192);
      if (a.at(name).get<int64_t>() % cell)
        throw Error(ErrorKind::usage,
                    std::string(name) + " is " + a.at(name).dump() + ", but this model takes multiples of " +
                        std::to_string(cell),
                    "the nearest are " + nearest_multiples(a.at(name).get<int64_t>(), cell));
    }
    if (rate <= 0) rate = clip.fps;
    const Tensor pixels = media::preprocess_video(clip.frames, a.at("width").get<int>(), a.at("height").get<int>(),
                                                  static_cast<int>(cell), fit);
    // The reference normalises without the scaling factor here.
    latents = normalize_latents(
        sample(encode_pixels(*vae_, tiling_of(a.at("vae_tiling")), pixels, 0, monitor), run.generator),
        {vae_->latents_mean(), vae_->latents_std(), 1.0f});
  }
  if (latents.rank() != 5 || latents.dim(1) != vae_->config().latent_channels || latents.numel() == 0)
    throw Error(ErrorKind::usage,
                "the given latents are " + to_string(latents.shape()) + ", which this model cannot take",
                "they are [clips, " + std::to_string(vae_->config().latent_channels) + ", frames, height, width]");
  run.latents = latents;
  const auto& config = upsampler_->config();
  const int64_t frames = config.temporal_upsample ? 2 * latents.dim(2) - 1 : latents.dim(2);
  const int64_t factor = config.spatial_upsample ? 2 : 1;
  run.format = {static_cast<int>(latents.dim(4) * factor * cell), static_cast<int>(latents.dim(3) * factor * cell),
                (frames - 1) * group + 1, rate > 0 ? rate : 25.0};
  run.steps = 1;
  return run;
}

void Upsample::require_own(const Run& run) const {
  if (run.latents.rank() != 5 || run.latents.dim(1) != vae_->config().latent_channels || run.steps != 1)
    throw Error(ErrorKind::input, "the run's latents " + to_string(run.latents.shape()) + " are not this model's",
                "go on with the model that the run was begun with");
}

void Upsample::denoise(Run& run, const Monitor& monitor) {
  require_own(run);
  if (run.step > 0) return;
  const json& a = run.request.arguments;
  monitor.report("upsample", 0, 1);
  monitor.check();
  run.latents = upsample_latents(*upsampler_, run.latents, scale(), a.at("adain_factor").get<float>(),
                                 a.at("tone_map_compression_ratio").get<double>());
  run.step = 1;
  if (monitor.probe) monitor.probe("upsampled", normalize_latents(run.latents, scale()));
  monitor.report("upsample", 1, 1);
  if (monitor.after_step) monitor.after_step(run);
  release_cached_memory();
}

void Upsample::decode(const Run& run, int64_t index, media::FrameSink& sink, const Monitor& monitor) {
  require_own(run);
  const json& a = run.request.arguments;
  Generator generator = run.generator, injected = run.global_generator;
  std::optional<float> timestep;
  const Tensor latents = with_decode_noise(*vae_, a, run.latents.clone(), generator, timestep);
  decode_clip(*vae_, tiling_of(a.at("vae_tiling")), latents.slice(index, index + 1), timestep, injected, run.format,
              sink, monitor, index == 0);
}

Tensor Upsample::preview(const Run& run) {
  return small_picture(*vae_, run.step > 0 ? run.latents : denormalize_latents(run.latents, scale()));
}

}  // namespace prax::pipelines::ltx

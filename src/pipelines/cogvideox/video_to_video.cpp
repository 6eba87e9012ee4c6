#include "pipelines/cogvideox/video_to_video.h"

#include <algorithm>

#include "base/error.h"
#include "pipelines/pictures.h"

namespace prax::pipelines::cogvideox {

namespace {

using nlohmann::json;

std::vector<Argument> with_video(const checkpoint::Folder& folder) {
  auto arguments = common_arguments(folder);
  arguments.erase(find_argument(arguments, "num_frames"));
  arguments.insert(find_argument(arguments, "guidance_scale"),
                   {"strength", "float", 0.8, "how far the clip is changed (0 to 1)"});
  arguments.insert(arguments.begin(), {{"video", "clip", nullptr, "the clip to change"},
                                       {"resize_mode", "string", "default", resize_mode_help}});
  return arguments;
}

}  // namespace

VideoToVideo::VideoToVideo(const checkpoint::Folder& folder, const LoadOptions& options)
    : CogVideoXPipeline(folder, options, with_video(folder), 1) {}

void VideoToVideo::check_arguments(const Request& request) const {
  const json& a = request.arguments;
  media::fit_named(a.at("resize_mode").get<std::string>());
  const bool has_latents = !a.at("latents").is_null() || request.tensors.contains("latents");
  if (a.at("video").is_null() != has_latents)
    throw Error(ErrorKind::usage,
                has_latents ? "both a clip and latents were given" : "video to video was asked for without a clip",
                "give one of video and latents");
  const double strength = a.at("strength").get<double>();
  if (!(strength >= 0 && strength <= 1))
    throw Error(ErrorKind::usage, "strength is " + a.at("strength").dump() + ", which cannot be", "use 0 to 1");
  const int64_t steps = a.at("num_inference_steps").get<int64_t>();
  if (first_step(a) >= static_cast<int64_t>(schedule(a)->timesteps().size()))
    throw Error(ErrorKind::usage,
                "a strength of " + a.at("strength").dump() + " leaves none of " + std::to_string(steps) + " steps",
                "use a strength of at least 1 / num_inference_steps, or more steps");
}

void VideoToVideo::require_whole_patches(int64_t latent_frames) const {
  const int64_t patch = transformer_config().frames_of_patch();
  if (latent_frames % patch == 0) return;
  const auto group = static_cast<int64_t>(vae_config().temporal_compression_ratio);
  const int64_t below = latent_frames / patch * patch;
  throw Error(ErrorKind::usage,
              "the clip makes " + std::to_string(latent_frames) + " latent frames, but this model takes multiples of " +
                  std::to_string(patch),
              "cut it with {\"file\": ..., \"frames\": n} to " +
                  (below > 0 ? std::to_string((below - 1) * group + 1) + " or " : "") +
                  std::to_string((below + patch - 1) * group + 1) + " frames");
}

//! get_timesteps of the reference.
int64_t VideoToVideo::first_step(const json& a) const {
  const int64_t steps = a.at("num_inference_steps").get<int64_t>();
  const auto taken = static_cast<int64_t>(static_cast<double>(steps) * a.at("strength").get<double>());
  return std::max<int64_t>(steps - std::min(taken, steps), 0);
}

void VideoToVideo::prepare(Run& run, const Monitor& monitor) {
  const json& a = run.request.arguments;
  const int64_t pixels_of_cell = vae_config().spatial_ratio();
  run.latents = given_latents(
      run, {1, 0, vae_config().latent_channels, run.format.height / pixels_of_cell, run.format.width / pixels_of_cell});
  if (run.latents.defined()) return require_whole_patches(run.latents.dim(1));
  const media::Fit fit = media::fit_named(a.at("resize_mode").get<std::string>());
  const media::Clip clip = read_clip_argument(a.at("video"));
  require_whole_patches(latent_frames(static_cast<int64_t>(clip.frames.size())));
  const Tensor pixels =
      media::preprocess_video(clip.frames, run.format.width, run.format.height, static_cast<int>(pixels_of_cell), fit);
  const Tensor latents = encode(run, pixels, vae_config().scaling_factor, 0, monitor);
  const Tensor noise = run.generator.randn(latents.shape());
  run.latents = schedule(a)->add_noise(latents, noise, first_step(a));
}

}  // namespace prax::pipelines::cogvideox

#include "pipelines/ltx/image_to_video.h"

#include <algorithm>

#include "base/error.h"
#include "pipelines/ltx/latents.h"
#include "pipelines/pictures.h"

namespace prax::pipelines::ltx {

namespace {

using nlohmann::json;

std::vector<Argument> with_image() {
  auto arguments = common_arguments();
  arguments.insert(arguments.begin(), {{"image", "picture", nullptr, "the first frame"},
                                       {"resize_mode", "string", "default", resize_mode_help}});
  return arguments;
}

}  // namespace

ImageToVideo::ImageToVideo(const checkpoint::Folder& folder, const LoadOptions& options)
    : LtxPipeline(folder, options, with_image()) {}

void ImageToVideo::check_arguments(const json& a) const { media::fit_named(a.at("resize_mode").get<std::string>()); }

void ImageToVideo::prepare(Run& run, const Monitor& monitor) {
  const json& a = run.request.arguments;
  if (!a.at("latents").is_null() || run.request.tensors.contains("latents"))
    return LtxPipeline::prepare(run, monitor);  // they hold the picture
  if (a.at("image").is_null())
    throw Error(ErrorKind::usage, "image to video was asked for without a picture", "give the first frame as image");
  const media::Fit fit = media::fit_named(a.at("resize_mode").get<std::string>());
  const int multiple = static_cast<int>(vae_->config().spatial_compression_ratio);
  const Tensor picture =
      media::preprocess(read_picture_argument(a.at("image")), run.format.width, run.format.height, multiple, fit);
  const Tensor pixels = picture.view({1, picture.dim(0), picture.dim(1), picture.dim(2)});
  // The reference leaves the scaling factor out here.
  const Tensor first = normalize(sample(encode(a, pixels, 0, monitor), run.generator));

  const Grid g = latent_grid(a);
  const int64_t batch = a.at("num_videos_per_prompt").get<int64_t>(), channels = transformer_->config().in_channels;
  Tensor latents = run.generator.randn({batch, channels, g.frames, g.height, g.width});
  const int64_t plane = g.height * g.width;
  for (int64_t i = 0; i < batch * channels; ++i)
    std::copy_n(first.data<float>() + i % channels * plane, plane, latents.data<float>() + i * g.frames * plane);
  run.latents = pack(latents);
}

LtxPipeline::Moment ImageToVideo::moment(const Run& run, float timestep) const {
  const Grid g = latent_grid(run.request.arguments);
  std::vector<float> timesteps(static_cast<size_t>(g.tokens()), timestep);
  std::fill_n(timesteps.begin(), g.height * g.width, 0.0f);
  return {{}, std::move(timesteps), {g.tokens()}, nullptr, nullptr, false};
}

//! The step is taken without the first frame, in the layout of the reference: noise of a stochastic schedule depends on
//! it.
Tensor ImageToVideo::step(Run& run, const schedulers::FlowMatchEulerScheduler& scheduler,
                          const Tensor& prediction) const {
  const Grid g = latent_grid(run.request.arguments);
  const Tensor latents = unpack(run.latents, g);
  const Tensor first = frames_of(latents, 0, 1);
  if (g.frames == 1) return run.latents;
  const Tensor next = scheduler.step(frames_of(unpack(prediction, g), 1, g.frames), run.step,
                                     frames_of(latents, 1, g.frames), &run.global_generator);
  return pack(Tensor::concat({first, next}, 2));
}

}  // namespace prax::pipelines::ltx

#include "pipelines/cogvideox/image_to_video.h"

#include <algorithm>

#include "base/error.h"
#include "pipelines/pictures.h"

namespace prax::pipelines::cogvideox {

namespace {

using nlohmann::json;

//! What a run keeps of the picture: latents [1, frames, channels, height, width], zeros but for the first frame.
const char* const picture_state = "image_latents";

std::vector<Argument> with_image(const checkpoint::Folder& folder) {
  constexpr int64_t usual_frames = 49;
  auto arguments = common_arguments(folder);
  find_argument(arguments, "num_frames")->default_value = usual_frames;
  arguments.insert(arguments.begin(), {{"image", "picture", nullptr, "the first frame"},
                                       {"resize_mode", "string", "default", resize_mode_help}});
  return arguments;
}

}  // namespace

ImageToVideo::ImageToVideo(const checkpoint::Folder& folder, const LoadOptions& options)
    : CogVideoXPipeline(folder, options, with_image(folder), 2) {}

void ImageToVideo::check_arguments(const Request& request) const {
  media::fit_named(request.arguments.at("resize_mode").get<std::string>());
  if (request.arguments.at("image").is_null())
    throw Error(ErrorKind::usage, "image to video was asked for without a picture", "give the first frame as image");
}

void ImageToVideo::prepare(Run& run, const Monitor& monitor) {
  const json& a = run.request.arguments;
  const media::Fit fit = media::fit_named(a.at("resize_mode").get<std::string>());
  const int multiple = static_cast<int>(vae_config().spatial_ratio());
  const Tensor picture =
      media::preprocess(read_picture_argument(a.at("image")), run.format.width, run.format.height, multiple, fit);
  const Tensor pixels = picture.view({1, picture.dim(0), picture.dim(1), picture.dim(2)});
  // Training of 1.5 divided by the scale here.
  const double scale = vae_config().scaling_factor;
  const Tensor first = encode(run, pixels, vae_config().invert_scale_latents ? 1 / scale : scale, 0, monitor);

  const Shape shape = latent_shape(a);
  Tensor clip = Tensor::zeros(shape);
  std::copy_n(first.data<float>(), first.numel(), clip.data<float>());
  run.state[picture_state] = clip;
  run.latents = given_latents(run, shape);
  if (!run.latents.defined()) run.latents = run.generator.randn(shape);
}

Tensor ImageToVideo::model_input(const Run& run) const {
  const auto picture = run.state.find(picture_state);
  if (picture == run.state.end() || picture->second.shape() != run.latents.shape())
    throw Error(ErrorKind::input, "the run has no picture", "it was begun with another model or version");
  const Shape& shape = run.latents.shape();
  const Shape frames(shape.begin() + 1, shape.end());
  return Tensor::concat({run.latents.view(frames), picture->second.view(frames)}, 1);
}

}  // namespace prax::pipelines::cogvideox

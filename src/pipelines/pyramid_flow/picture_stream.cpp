#include "pipelines/pyramid_flow/picture_stream.h"

#include <algorithm>

namespace prax::pipelines::pyramid_flow {

PictureStream::PictureStream(models::pyramid_flow::Vae& vae, const LatentScale& scale, const media::VideoFormat& format,
                             int64_t frames, media::FrameSink& sink, const Monitor& monitor)
    : vae_(vae), scale_(scale), frames_(frames), sink_(sink), monitor_(monitor) {
  sink_.begin(format);
  vae_.begin_decoding();
}

void PictureStream::catch_up(const Tensor& clean) {
  if (done_ < clean.dim(1)) monitor_.report("decode", done_, frames_);
  while (done_ < clean.dim(1)) {
    const Tensor latents = scale_.denormalize(frames_of(clean, done_, done_ + 1), done_);
    if (monitor_.probe) latents_.push_back(latents);
    vae_.decode_next(latents, [&](const Tensor& picture) { emit(picture); });
    monitor_.report("decode", ++done_, frames_);
  }
}

void PictureStream::all_of(const Tensor& clean, const models::pyramid_flow::VaeTiling& tiling) {
  monitor_.report("decode", 0, frames_);
  const Tensor latents = scale_.denormalize(clean);
  if (monitor_.probe) latents_.push_back(latents);
  vae_.decode(latents, tiling, [&](const Tensor& picture) { emit(picture); });
  monitor_.report("decode", frames_, frames_);
}

void PictureStream::emit(const Tensor& picture) {
  monitor_.check();
  if (monitor_.probe) pictures_.push_back(picture.view({1, picture.dim(0), picture.dim(1), 3}));
  Tensor rgb = Tensor::empty(picture.shape());
  for (int64_t i = 0; i < rgb.numel(); ++i)
    rgb.data<float>()[i] = std::clamp(picture.data<float>()[i] / 2.0f + 0.5f, 0.0f, 1.0f);
  sink_.frame(rgb.span<float>());
}

void PictureStream::finish() {
  sink_.finish();
  if (!monitor_.probe) return;
  const auto batched = [](const Tensor& t) { return t.view({1, t.dim(0), t.dim(1), t.dim(2), t.dim(3)}); };
  monitor_.probe("vae_input", batched(Tensor::concat(latents_, 1)));
  monitor_.probe("decoded", batched(Tensor::concat(pictures_, 0).permute({3, 0, 1, 2})));
}

}  // namespace prax::pipelines::pyramid_flow

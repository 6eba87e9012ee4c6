#pragma once

#include <vector>

#include "models/pyramid_flow/vae.h"
#include "pipelines/pipeline.h"
#include "pipelines/pyramid_flow/latents.h"

namespace prax::pipelines::pyramid_flow {

//! A video's way from clean frames of latents to its sink, which begins here and is finished by finish(). What later
//! frames need of earlier ones stays in the decoder until then.
class PictureStream {
public:
  //! `frames` of latents will come. The rest must live as long as this.
  PictureStream(models::pyramid_flow::Vae& vae, const LatentScale& scale, const media::VideoFormat& format,
                int64_t frames, media::FrameSink& sink, const Monitor& monitor);
  ~PictureStream() { vae_.end_decoding(); }
  PictureStream(const PictureStream&) = delete;
  PictureStream& operator=(const PictureStream&) = delete;

  //! Decodes those of the clean frames [C, T, H, W] that came since the last time.
  void catch_up(const Tensor& clean);
  //! Decodes all frames at once, in tiles where these are larger than one.
  void all_of(const Tensor& clean, const models::pyramid_flow::VaeTiling& tiling);
  //! All frames came.
  void finish();

private:
  void emit(const Tensor& picture);

  models::pyramid_flow::Vae& vae_;
  LatentScale scale_;
  int64_t frames_, done_ = 0;
  media::FrameSink& sink_;
  const Monitor& monitor_;
  std::vector<Tensor> latents_, pictures_;  //!< for probes
};

}  // namespace prax::pipelines::pyramid_flow

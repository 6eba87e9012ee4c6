#pragma once

#include "pipelines/cogvideox/cogvideox_pipeline.h"

namespace prax::pipelines::cogvideox {

//! A video that begins with a picture: diffusers pipelines/cogvideo/pipeline_cogvideox_image2video.py
//! (CogVideoXImageToVideoPipeline). The denoiser sees the picture's latents, and zeros behind them, beside the noisy
//! ones.
class ImageToVideo : public CogVideoXPipeline {
public:
  ImageToVideo(const checkpoint::Folder& folder, const LoadOptions& options);
  std::string reference_class() const override { return "CogVideoXImageToVideoPipeline"; }

protected:
  void check_arguments(const Request& request) const override;
  void prepare(Run& run, const Monitor& monitor) override;
  Tensor model_input(const Run& run) const override;
};

}  // namespace prax::pipelines::cogvideox

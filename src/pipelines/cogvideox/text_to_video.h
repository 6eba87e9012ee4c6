#pragma once

#include "pipelines/cogvideox/cogvideox_pipeline.h"

namespace prax::pipelines::cogvideox {

//! Text to video: diffusers pipelines/cogvideo/pipeline_cogvideox.py (CogVideoXPipeline).
class TextToVideo : public CogVideoXPipeline {
public:
  TextToVideo(const checkpoint::Folder& folder, const LoadOptions& options)
      : CogVideoXPipeline(folder, options, common_arguments(folder), 1) {}
  std::string reference_class() const override { return "CogVideoXPipeline"; }

protected:
  void prepare(Run& run, const Monitor&) override {
    const Shape shape = latent_shape(run.request.arguments);
    run.latents = given_latents(run, shape);
    if (!run.latents.defined()) run.latents = run.generator.randn(shape);
  }
};

}  // namespace prax::pipelines::cogvideox

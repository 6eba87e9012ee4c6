#pragma once

#include "models/ltx/latent_upsampler.h"
#include "pipelines/ltx/conditioned.h"

namespace prax::pipelines::ltx {

//! The recipe of LTX-Video 0.9.7 and 0.9.8 for large videos (diffusers docs/source/en/api/pipelines/ltx_video.md): a
//! draft at a part of the size, its latents at twice that, a few steps that refine them, and the result scaled to the
//! size that was asked for. Arguments are those of LTXConditionPipeline and of the recipe.
class TwoPass : public Pipeline {
public:
  //! `options.upscaler` is the upsampler's folder; of it, the network alone is read: the latents are the model's.
  TwoPass(const checkpoint::Folder& folder, const LoadOptions& options);

  std::string family() const override { return main_.family(); }
  std::string reference_class() const override { return main_.reference_class(); }
  const std::vector<Argument>& arguments() const override { return arguments_; }

  Run begin(const Request& request, const Monitor& monitor = {}) override;
  void denoise(Run& run, const Monitor& monitor) override;
  void decode(const Run& run, int64_t index, media::FrameSink& sink, const Monitor& monitor) override;
  Tensor preview(const Run& run) override;

private:
  //! The request of the draft or of its refinement, to the condition pipeline.
  Request draft(const Request& whole) const;
  Request refinement(const Request& whole) const;
  int64_t draft_steps(const Run& run) const;
  //! The pass that the run is in, as a run of the condition pipeline, and back.
  Run pass_of(const Run& run) const;
  static void put_back(const Run& pass, int64_t steps_before, Run& run);

  Conditioned main_;
  std::unique_ptr<models::ltx::LatentUpsampler> upsampler_;
  std::vector<Argument> arguments_;
};

}  // namespace prax::pipelines::ltx

#pragma once

#include <memory>

#include "models/ltx/latent_upsampler.h"
#include "models/ltx/vae.h"
#include "pipelines/ltx/latents.h"
#include "pipelines/pipeline.h"

namespace prax::pipelines::ltx {

//! The network in a folder's `latent_upsampler`, for latents of that autoencoder. Error(checkpoint) where the two do
//! not fit.
std::unique_ptr<models::ltx::LatentUpsampler> open_upsampler(const checkpoint::Folder& folder,
                                                             const std::string& variant, DType dtype,
                                                             const models::ltx::VaeConfig& vae);

//! A clip or its latents at twice the size: diffusers pipelines/ltx/pipeline_ltx_latent_upsample.py
//! (LTXLatentUpsamplePipeline), from a folder with `vae` and `latent_upsampler`. One step, without a prompt.
class Upsample : public Pipeline {
public:
  Upsample(const checkpoint::Folder& folder, const LoadOptions& options);
  ~Upsample() override;

  std::string family() const override { return "ltx-video"; }
  std::string reference_class() const override { return "LTXLatentUpsamplePipeline"; }
  const std::vector<Argument>& arguments() const override { return arguments_; }

  Run begin(const Request& request, const Monitor& monitor = {}) override;
  void denoise(Run& run, const Monitor& monitor) override;
  void decode(const Run& run, int64_t index, media::FrameSink& sink, const Monitor& monitor) override;
  Tensor preview(const Run& run) override;

private:
  LatentScale scale() const;
  void require_own(const Run& run) const;

  checkpoint::Folder folder_;
  LoadOptions options_;
  std::vector<Argument> arguments_;
  std::unique_ptr<models::ltx::Vae> vae_;
  std::unique_ptr<models::ltx::LatentUpsampler> upsampler_;
};

}  // namespace prax::pipelines::ltx

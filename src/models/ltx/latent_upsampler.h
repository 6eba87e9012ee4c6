#pragma once

#include <memory>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "tensor/tensor.h"

namespace prax::models::ltx {

//! config.json of LTXLatentUpsamplerModel with the class's defaults for absent keys.
struct LatentUpsamplerConfig {
  int64_t in_channels = 128, mid_channels = 512, num_blocks_per_stage = 4;
  int64_t dims = 3;  //!< 3: convolutions and norms see all frames; 2: each frame by itself
  bool spatial_upsample = true, temporal_upsample = false;
  //! Error(checkpoint) for sizes that the model cannot have, and for the combinations that the reference cannot run.
  static LatentUpsamplerConfig from(const checkpoint::Config& config);
};

//! The network that doubles latents in height and width, in frames, or both: diffusers
//! pipelines/ltx/modeling_latent_upsampler.py. Weights are packed layer by layer when they are used and let go at once.
class LatentUpsampler {
public:
  LatentUpsampler(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype);
  ~LatentUpsampler();

  const LatentUpsamplerConfig& config() const { return config_; }

  //! latents [B, in_channels, F, H, W] f32, denormalised -> [B, in_channels, F', H', W'] f32: H' = 2 H and W' = 2 W
  //! with spatial_upsample, F' = 2 F - 1 with temporal_upsample. Error(input) for another shape.
  Tensor operator()(const Tensor& latents);

private:
  struct Layers;
  LatentUpsamplerConfig config_;
  std::unique_ptr<Layers> layers_;
};

}  // namespace prax::models::ltx

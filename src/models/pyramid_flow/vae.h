#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "kernels/kernels.h"
#include "tensor/tensor.h"

namespace prax::models::pyramid_flow {

//! config.json of CausalVideoVAE with the class's defaults for absent keys. Blocks in the order in which they run.
struct VaeConfig {
  struct Side {
    std::vector<int64_t> channels, layers;
    std::vector<bool> spatial, temporal;
    int64_t groups = 32;
    kernels::Activation activation = kernels::Activation::silu;  //!< of resnets; the one before conv_out is silu
  };
  int64_t pixel_channels = 3, latent_channels = 4;
  int64_t downsample_scale = 8;
  Side encoder, decoder;

  //! Factors between pixels and latents: in width and height, and in time.
  int64_t spatial_factor() const;
  int64_t temporal_factor() const;
  //! Error(checkpoint) for lists that do not fit each other, and for options that this cannot do.
  static VaeConfig from(const checkpoint::Config& config);
};

//! Where large pictures are cut into overlapping tiles that are coded alone and blended (CausalVideoVAE.enable_tiling).
struct VaeTiling {
  bool enabled = false;
  int64_t tile_sample_min_size = 256;  //!< pixels; smaller pictures are not cut
};

//! The causal video autoencoder of Pyramid Flow (video_vae/modeling_causal_vae.py of the authors' code). Frames flow
//! through the layers one by one, so that memory depends on the picture's size and not on the clip's length, and the
//! result is that of the whole clip at once, which is also that of the reference's windows over time.
class Vae {
public:
  using Emit = std::function<void(const Tensor& picture)>;

  Vae(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype);
  ~Vae();

  const VaeConfig& config() const { return config_; }

  //! latents [latent_channels, frames, height, width] f32 as the encoder gives them -> calls `emit` with each picture
  //! [H, W, 3] f32, not clamped. Tiled pictures come when the last tile is decoded.
  void decode(const Tensor& latents, const VaeTiling& tiling, const Emit& emit);

  //! The same without tiles, latent frame by latent frame: begin_decoding(), then each frame as soon as it is known.
  //! Until end_decoding() what later frames need of earlier ones stays in memory.
  void begin_decoding();
  void decode_next(const Tensor& latent_frame, const Emit& emit);  //!< [latent_channels, 1, height, width]
  void end_decoding();

  //! The picture of a frame of latents [latent_channels, 1, height, width] alone. A decoding that has begun can go on
  //! afterwards.
  Tensor decode_alone(const Tensor& latent_frame);

  //! video [frames, H, W, 3] f32 in -1..1 -> moments [2 * latent_channels, frames', H', W'] f32: means, then
  //! log-variances. Error(usage) when H or W is no multiple of the spatial factor.
  Tensor encode(const Tensor& video, const VaeTiling& tiling);

private:
  struct Layers;
  Tensor encode_whole(const Tensor& video);

  VaeConfig config_;
  std::unique_ptr<Layers> layers_;
};

}  // namespace prax::models::pyramid_flow

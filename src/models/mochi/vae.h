#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "kernels/kernels.h"
#include "tensor/tensor.h"

namespace prax::models::mochi {

//! config.json of AutoencoderKLMochi with the class's defaults for absent keys.
struct VaeConfig {
  int64_t in_channels;  //!< of the encoder's first layer: the pictures' channels and their Fourier features
  int64_t out_channels, latent_channels;
  std::vector<int64_t> encoder_block_out_channels, decoder_block_out_channels, layers_per_block;
  std::vector<int64_t> temporal_expansions, spatial_expansions;
  std::vector<bool> add_attention_block;
  kernels::Activation activation;  //!< after the last layer, before the projection to pixels or latents
  float scaling_factor;
  int64_t picture_channels() const;
  int64_t spatial_compression_ratio() const;
  int64_t temporal_compression_ratio() const;
  static VaeConfig from(const checkpoint::Config& config);
};

//! AutoencoderKLMochi.enable_tiling: large pictures are coded in overlapping tiles (sizes in pixels) that are blended
//! where they meet. Pictures no larger than a tile are coded whole.
struct Tiling {
  int64_t tile_sample_min_height = 256, tile_sample_min_width = 256;
  int64_t tile_sample_stride_height = 192, tile_sample_stride_width = 192;
};

class VaeDecoder;
class VaeEncoder;

//! The video autoencoder of Mochi 1 (diffusers models/autoencoders/autoencoder_kl_mochi.py). All convolutions are
//! causal and all norms are those of single frames, so frames stream through the decoder one by one, and the result is
//! that of the whole clip at once. The encoder gathers frames where they attend to earlier ones.
class Vae {
public:
  Vae(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype);
  ~Vae();

  const VaeConfig& config() const { return config_; }
  const Tensor& latents_mean() const { return latents_mean_; }  //!< [latent_channels]; undefined where config has null
  const Tensor& latents_std() const { return latents_std_; }    //!< [latent_channels]; undefined where config has null

  //! latents [latent_channels, frames, height, width] f32, denormalised -> calls `emit` with each picture
  //! [H, W, out_channels] f32, not clamped, (frames - 1) * temporal_compression_ratio + 1 in all. `on_latent_frame` is
  //! called after each latent frame went in (with tiling: of each tile, and all pictures come at the end). Error(usage)
  //! for tiles that cannot be.
  void decode(const Tensor& latents, const std::function<void(const Tensor& picture)>& emit,
              const std::function<void(int64_t done, int64_t all)>& on_latent_frame = {},
              const std::optional<Tiling>& tiling = {});

  //! video [frames, H, W, channels] f32 in -1..1 -> moments [2 * latent_channels, frames', H', W'] f32: means, then
  //! log-variances. Error(usage) for pictures smaller than a latent pixel.
  Tensor encode(const Tensor& video, const std::optional<Tiling>& tiling = {});

private:
  VaeConfig config_;
  Tensor latents_mean_, latents_std_;
  std::unique_ptr<VaeDecoder> decoder_;
  std::unique_ptr<VaeEncoder> encoder_;
};

}  // namespace prax::models::mochi

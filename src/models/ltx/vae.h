#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "nn/conv3d.h"
#include "tensor/random.h"

namespace prax::models::ltx {

//! config.json of AutoencoderKLLTXVideo with the class's defaults for absent keys. The three published designs
//! (0.9.0; 0.9.1 with timestep conditioning and noise injection; 0.9.5 and later) differ in these values only.
struct VaeConfig {
  int64_t in_channels, out_channels, latent_channels, patch_size, patch_size_t;
  std::vector<int64_t> block_out_channels, decoder_block_out_channels, layers_per_block, decoder_layers_per_block;
  std::vector<std::string> down_block_types, downsample_type;
  std::vector<bool> spatio_temporal_scaling, decoder_spatio_temporal_scaling, decoder_inject_noise, upsample_residual;
  std::vector<int64_t> upsample_factor;
  bool timestep_conditioning, encoder_causal, decoder_causal;
  float resnet_norm_eps, scaling_factor;
  int64_t spatial_compression_ratio, temporal_compression_ratio;
  //! What the decoder really makes of latent frames, and of latent rows or columns.
  int64_t decoded_frames(int64_t latent_frames) const;
  int64_t decoded_pixels(int64_t latent_pixels) const;
  static VaeConfig from(const checkpoint::Config& config);
};

class VaeDecoder;
class VaeEncoder;

//! The video autoencoder of LTX-Video (diffusers models/autoencoders/autoencoder_kl_ltx.py). Both directions stream:
//! frames go through all layers as soon as what they depend on is there, so that memory depends on the picture's size
//! and not on the clip's length, and the result is that of the whole clip at once.
class Vae {
public:
  Vae(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype);
  ~Vae();

  const VaeConfig& config() const { return config_; }
  const Tensor& latents_mean() const { return latents_mean_; }  //!< [latent_channels]
  const Tensor& latents_std() const { return latents_std_; }    //!< [latent_channels]

  //! latents [channels, frames, height, width] f32, denormalised -> calls `emit` with each picture [H, W, out_channels]
  //! f32, not clamped. `timestep` is needed with timestep_conditioning; noise is drawn from `generator` in the
  //! reference's order. `on_latent_frame` is called after each latent frame went in.
  void decode(const Tensor& latents, std::optional<float> timestep, Generator& generator,
              const std::function<void(const Tensor& picture)>& emit,
              const std::function<void(int64_t done, int64_t all)>& on_latent_frame = {});

  //! video [frames, H, W, in_channels] f32 in -1..1 -> moments [2 * latent_channels, frames', H', W'] f32: means, then
  //! log-variances.
  Tensor encode(const Tensor& video);
  //! Drops what encoding packed of its weights, which are larger than the decoder's; encode() packs them again.
  void release_encoder();

private:
  VaeConfig config_;
  Tensor latents_mean_, latents_std_;
  std::unique_ptr<VaeDecoder> decoder_;
  std::unique_ptr<VaeEncoder> encoder_;
};

}  // namespace prax::models::ltx

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "kernels/kernels.h"
#include "models/cogvideox/tile_axis.h"
#include "tensor/tensor.h"

namespace prax::models::cogvideox {

//! config.json of AutoencoderKLCogVideoX with the class's defaults for absent keys.
struct VaeConfig {
  int64_t in_channels, out_channels, latent_channels, layers_per_block, norm_num_groups;
  std::vector<int64_t> block_out_channels;
  float norm_eps;
  double scaling_factor;
  double temporal_compression_ratio;
  int64_t sample_height, sample_width;
  kernels::Activation activation;  //!< of resnets; the one before conv_out is silu
  bool use_quant_conv, use_post_quant_conv, invert_scale_latents;

  //! Samplers that halve or double the time, counted from the pixels when coding, from the latents when decoding.
  int64_t temporal_levels() const;
  //! Pictures that so many latent frames become: four for one, but one for the first of an odd number.
  int64_t decoded_frames(int64_t latent_frames) const;
  //! Pixels of a latent pixel, across and down.
  int64_t spatial_ratio() const { return int64_t{1} << (block_out_channels.size() - 1); }
  //! Error(checkpoint) for sizes that cannot be, and for options that the reference knows and we do not.
  static VaeConfig from(const checkpoint::Config& config);
};

//! Coding of large pictures in overlapping tiles, as AutoencoderKLCogVideoX does it after enable_tiling(). Absent
//! values are the class's: half of the sample's size, overlaps of a sixth and a fifth.
struct Tiling {
  std::optional<int64_t> tile_sample_min_height, tile_sample_min_width;
  std::optional<double> tile_overlap_factor_height, tile_overlap_factor_width;
};

class VaeDecoder;
class VaeEncoder;

//! The video autoencoder of CogVideoX (diffusers models/autoencoders/autoencoder_kl_cogvideox.py). Clips are coded in
//! chunks of a few frames, each normed over the whole of it, with what convolutions look back on carried over: the
//! chunks are part of the arithmetic. Memory depends on the picture's size and not on the clip's length.
class Vae {
public:
  Vae(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype);
  ~Vae();

  const VaeConfig& config() const { return config_; }

  //! From now on pictures larger than a tile are coded in tiles. Error(usage) for tiles or overlaps that cannot be.
  void enable_tiling(const Tiling& tiling = {});
  void disable_tiling() { tiles_.reset(); }
  //! Tiles of about `side` pixels whose overlaps are whole latents, so that what becomes of them lines up.
  Tiling tiling_near(int64_t side) const;
  //! Height and width of the pictures that decode() makes of latents of this size. In tiles that do not line up the
  //! reference makes larger or smaller ones than without tiles, and so does this.
  std::pair<int64_t, int64_t> picture_size(int64_t latent_height, int64_t latent_width) const;

  //! latents [latent_channels, frames, height, width] f32, not scaled -> calls `emit` with each picture
  //! [H, W, out_channels] f32, not clamped. `on_latent_frame` is called when so many latent frames are through (with
  //! tiles: so many in proportion).
  void decode(const Tensor& latents, const std::function<void(const Tensor& picture)>& emit,
              const std::function<void(int64_t done, int64_t all)>& on_latent_frame = {});

  //! video [frames, H, W, in_channels] f32 in -1..1 -> moments [2 * latent_channels, frames', H', W'] f32: means, then
  //! log-variances. Error(usage) for pictures that are too small.
  Tensor encode(const Tensor& video);

private:
  //! Tiles with everything resolved: of latents and what they become.
  struct Tiles {
    TileAxis down, across;
  };
  //! The tiles if latents of this size are decoded in several.
  const Tiles* decoding_tiles(int64_t latent_height, int64_t latent_width) const;

  VaeConfig config_;
  std::unique_ptr<VaeDecoder> decoder_;
  std::unique_ptr<VaeEncoder> encoder_;
  std::optional<Tiles> tiles_;
};

}  // namespace prax::models::cogvideox

#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "models/ltx/vae.h"

namespace prax::models::ltx {

//! Where AutoencoderKLLTXVideo cuts what is large into overlapping tiles and blends what comes out: the switches and
//! sizes of the reference by their names, in pixels and frames. Tiles are coded as if they were alone, so the result is
//! not that of the whole. (The reference never reads its use_framewise_encoding: use_framewise_decoding rules both
//! ways.)
struct Tiling {
  bool use_tiling = false;              //!< tiles of a picture that is larger than one in height or width
  bool use_framewise_decoding = false;  //!< tiles of a clip that is longer than one
  int64_t tile_sample_min_height = 512, tile_sample_min_width = 512, tile_sample_min_num_frames = 16;
  int64_t tile_sample_stride_height = 448, tile_sample_stride_width = 448, tile_sample_stride_num_frames = 8;
};

using Emit = std::function<void(const Tensor& picture)>;
using OnLatentFrame = std::function<void(int64_t done, int64_t all)>;

//! Vae::decode with the tiling; without a reason to cut it is Vae::decode. Tiles of a clip give their pictures as soon
//! as they are blended. Tiles of a picture are decoded one after another, so that pictures come when the last tile of
//! their clip (or tile of a clip) goes through, and until then what is done of them is in memory. `on_latent_frame`
//! counts the latent frames of all tiles. Error(usage) for sizes that leave no tile.
void decode(Vae& vae, const Tiling& tiling, const Tensor& latents, std::optional<float> timestep, Generator& generator,
            const Emit& emit, const OnLatentFrame& on_latent_frame = {});

//! Vae::encode with the tiling: video [frames, H, W, in_channels] -> moments [2 * latent_channels, frames', H', W'].
Tensor encode(Vae& vae, const Tiling& tiling, const Tensor& video);

//! How LTXI2VLongMultiPromptPipeline.vae_decode_tiled decodes: a grid of tiles over the picture that overlap by
//! `overlap` latent pixels and fade into each other linearly.
struct FadedTiles {
  int64_t horizontal_tiles = 4, vertical_tiles = 4, overlap = 3;
  //! Repeats the last latent frame before decoding, and drops the pictures that come of it.
  bool last_frame_fix = true;
  //! Both only where the decoder is conditioned on a timestep; without a timestep it is 0, without a scale there is no
  //! decoding noise.
  std::optional<float> decode_timestep{}, decode_noise_scale{};
};

//! vae_decode_tiled for one clip of denormalised latents [channels, frames, height, width]: pictures in -1..1 (clamped,
//! also with one tile). Each tile goes through decode() with `tiling`. Decoding noise is drawn from `generator`, what
//! the decoder injects from `injected`, tile by tile. Error(usage) for a grid that does not fit the latents.
void decode_faded(Vae& vae, const FadedTiles& tiles, const Tiling& tiling, const Tensor& latents, Generator& generator,
                  Generator& injected, const Emit& emit, const OnLatentFrame& on_latent_frame = {});

}  // namespace prax::models::ltx

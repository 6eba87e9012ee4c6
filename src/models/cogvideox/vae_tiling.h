#pragma once

#include <functional>

#include "models/cogvideox/tile_axis.h"
#include "models/cogvideox/vae_layers.h"

namespace prax::models::cogvideox {

//! A part of a picture.
struct Area {
  int64_t top, left, height, width;
};

//! Codes a picture or clip [height, width] in overlapping tiles (tiled_encode and tiled_decode of the reference):
//! `code` gives all frames of one tile, the index-th of `count`, and they are faded into each other, the upper one
//! first.
//! -> all frames of the whole.
Chunk code_tiles(int64_t height, int64_t width, const TileAxis& down, const TileAxis& across,
                 const std::function<Chunk(const Area& area, int64_t index, int64_t count)>& code);

}  // namespace prax::models::cogvideox

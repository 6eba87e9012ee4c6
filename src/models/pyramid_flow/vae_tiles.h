#pragma once

#include <cstdint>
#include <functional>

#include "tensor/tensor.h"

namespace prax::models::pyramid_flow {

//! Tiles of a clip, by their sides before and after they are coded; neighbours share a quarter.
struct TileGrid {
  int64_t side_in = 0, side_out = 0;
};

//! clip [frames, height, width, channels] cut into tiles, each coded by `code` as a clip of its own ([frames', h', w',
//! channels']), and put together: the first quarter of a tile fades over from its upper neighbour, then from its left
//! one, both of which have been blended themselves (tiled_encode and tiled_decode of CausalVideoVAE). Error(usage) for
//! a side that leaves no tile.
Tensor code_tiles(const Tensor& clip, const TileGrid& grid, const std::function<Tensor(const Tensor& tile)>& code);

}  // namespace prax::models::pyramid_flow

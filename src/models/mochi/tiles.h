#pragma once

#include <cstdint>
#include <functional>

#include "tensor/tensor.h"

namespace prax::models::mochi {

//! One direction of a picture that is coded in overlapping tiles.
struct TileAxis {
  int64_t extent;      //!< of the input
  int64_t tile, step;  //!< a tile's extent and how far apart tiles begin, in the input
  int64_t kept;        //!< of each coded tile
  int64_t blend;       //!< how much of a coded tile goes over into the next
  int64_t result;      //!< the most that is kept of all tiles together
};

//! Codes [begin, end) of rows and of columns -> [frames, height, width, channels] f32.
using CodeTile = std::function<Tensor(int64_t first_row, int64_t end_row, int64_t first_column, int64_t end_column)>;

//! How many tiles there are. Error(usage) for a tile or a step that is not positive.
int64_t tile_count(const TileAxis& rows, const TileAxis& columns);

//! All tiles, blended linearly into their neighbours above and on the left: AutoencoderKLMochi.tiled_encode and
//! tiled_decode.
Tensor code_tiles(const TileAxis& rows, const TileAxis& columns, const CodeTile& code);

}  // namespace prax::models::mochi

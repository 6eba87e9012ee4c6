#pragma once

#include <cstdint>

#include "nn/rotary.h"

//! Where tokens stand. Tokens are ordered frame, row, column.
namespace prax::models::cogvideox {

using nn::Rotary;

//! A grid of tokens.
struct Grid {
  int64_t frames = 0, height = 0, width = 0;
  int64_t tokens() const { return frames * height * width; }
};

//! Rotary positions of CogVideoX 1.0: the grid is fitted into the one of the training pictures (base, in tokens) with
//! its proportions kept, and positions run over the fitted region. Reference: get_resize_crop_region_for_grid in
//! pipelines/cogvideo, get_3d_rotary_pos_embed with "linspace" in models/embeddings.py.
Rotary rotary_fitted(const Grid& grid, int64_t base_height, int64_t base_width, int64_t head_dim);

//! Rotary positions of CogVideoX 1.5: the tokens' own numbers ("slice").
Rotary rotary_counted(const Grid& grid, int64_t head_dim);

//! Sines and cosines of the frame (a quarter of the channels), the column and the row (three eighths each), to be added
//! to the tokens: [tokens, dim] f32. Reference: get_3d_sincos_pos_embed in models/embeddings.py.
Tensor sincos_positions(const Grid& grid, int64_t dim, float spatial_scale, float temporal_scale);

}  // namespace prax::models::cogvideox

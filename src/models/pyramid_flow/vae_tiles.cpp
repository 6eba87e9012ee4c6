#include "models/pyramid_flow/vae_tiles.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"

namespace prax::models::pyramid_flow {

namespace {

constexpr int64_t overlap_of = 4;  // the reciprocal of the overlap factor

//! Rows and columns of a clip, those behind its end left out.
Tensor window(const Tensor& clip, int64_t top, int64_t left, int64_t side) {
  const int64_t height = std::min(side, clip.dim(1) - top), width = std::min(side, clip.dim(2) - left);
  const int64_t channels = clip.dim(3);
  Tensor out = Tensor::empty({clip.dim(0), height, width, channels});
  float* to = out.data<float>();
  for (int64_t t = 0; t < clip.dim(0); ++t)
    for (int64_t y = 0; y < height; ++y)
      to = std::copy_n(clip.data<float>() + ((t * clip.dim(1) + top + y) * clip.dim(2) + left) * channels,
                       width * channels, to);
  return out;
}

//! b's first rows (axis 1) or columns (axis 2) fade over from a's last ones.
void blend(const Tensor& a, Tensor& b, int axis, int64_t extent) {
  extent = std::min({extent, a.dim(axis), b.dim(axis)});
  const int64_t frames = b.dim(0), channels = b.dim(3);
  const int64_t height = axis == 1 ? extent : std::min(a.dim(1), b.dim(1));
  const int64_t width = axis == 2 ? extent : std::min(a.dim(2), b.dim(2));
  for (int64_t t = 0; t < frames; ++t)
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x) {
        const int64_t from_y = axis == 1 ? a.dim(1) - extent + y : y, from_x = axis == 2 ? a.dim(2) - extent + x : x;
        const float* from = a.data<float>() + ((t * a.dim(1) + from_y) * a.dim(2) + from_x) * channels;
        float* to = b.data<float>() + ((t * b.dim(1) + y) * b.dim(2) + x) * channels;
        const double weight = static_cast<double>(axis == 1 ? y : x) / static_cast<double>(extent);
        const auto old = static_cast<float>(1 - weight), fresh = static_cast<float>(weight);
        for (int64_t c = 0; c < channels; ++c) to[c] = from[c] * old + to[c] * fresh;
      }
}

}  // namespace

Tensor code_tiles(const Tensor& clip, const TileGrid& grid, const std::function<Tensor(const Tensor&)>& code) {
  const int64_t step = grid.side_in - (grid.side_in + overlap_of - 1) / overlap_of;
  const int64_t extent = grid.side_out / overlap_of, kept = grid.side_out - extent;
  if (step < 1 || kept < 1)
    throw Error(ErrorKind::usage,
                "tiles of " + std::to_string(std::max(grid.side_in, grid.side_out)) + " pixels are too small",
                "choose a larger tile_sample_min_size, such as 256");
  std::vector<Tensor> above, rows;
  for (int64_t top = 0; top < clip.dim(1); top += step) {
    std::vector<Tensor> row, pieces;
    for (int64_t left = 0; left < clip.dim(2); left += step) {
      Tensor tile = code(window(clip, top, left, grid.side_in));
      if (!above.empty()) blend(above[row.size()], tile, 1, extent);
      if (!row.empty()) blend(row.back(), tile, 2, extent);
      const Tensor piece = window(tile, 0, 0, kept);
      pieces.push_back(piece);
      row.push_back(std::move(tile));
    }
    rows.push_back(Tensor::concat(pieces, 2));
    above = std::move(row);
  }
  return Tensor::concat(rows, 1);
}

}  // namespace prax::models::pyramid_flow

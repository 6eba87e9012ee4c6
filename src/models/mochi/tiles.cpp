#include "models/mochi/tiles.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "tensor/parallel.h"

namespace prax::models::mochi {

namespace {

//! b = a * (1 - i / n) + b * (i / n) for the i-th of n values.
void blend(const float* a, float* b, int64_t count, int64_t i, int64_t n) {
  const double share = static_cast<double>(i) / static_cast<double>(n);
  const auto of_a = static_cast<float>(1 - share), of_b = static_cast<float>(share);
  for (int64_t c = 0; c < count; ++c) b[c] = a[c] * of_a + b[c] * of_b;
}

//! Elements before row y of a frame in [frames, height, width, channels].
int64_t offset(const Tensor& t, int64_t frame, int64_t y) { return (frame * t.dim(1) + y) * t.dim(2) * t.dim(3); }

float* row_of(Tensor& t, int64_t frame, int64_t y) { return t.data<float>() + offset(t, frame, y); }
const float* row_of(const Tensor& t, int64_t frame, int64_t y) { return t.data<float>() + offset(t, frame, y); }

void blend_from_above(const Tensor& above, Tensor& tile, int64_t extent) {
  const int64_t n = std::min({above.dim(1), tile.dim(1), extent}), row = tile.dim(2) * tile.dim(3);
  parallel_for(tile.dim(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t f = begin; f < end; ++f)
      for (int64_t y = 0; y < n; ++y) blend(row_of(above, f, above.dim(1) - n + y), row_of(tile, f, y), row, y, n);
  });
}

void blend_from_left(const Tensor& left, Tensor& tile, int64_t extent) {
  const int64_t n = std::min({left.dim(2), tile.dim(2), extent}), channels = tile.dim(3);
  parallel_for(tile.dim(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t f = begin; f < end; ++f)
      for (int64_t y = 0; y < tile.dim(1); ++y)
        for (int64_t x = 0; x < n; ++x)
          blend(row_of(left, f, y) + (left.dim(2) - n + x) * channels, row_of(tile, f, y) + x * channels, channels, x,
                n);
  });
}

//! What is kept of a coded tile that begins at `at` of the result.
int64_t kept_of(int64_t coded, int64_t at, const TileAxis& axis) {
  return std::min({coded, axis.kept, axis.result - at});
}

void copy_area(const Tensor& from, Tensor& to, int64_t top, int64_t left, int64_t height, int64_t width) {
  const int64_t channels = from.dim(3);
  for (int64_t f = 0; f < from.dim(0); ++f)
    for (int64_t y = 0; y < height; ++y)
      std::memcpy(row_of(to, f, top + y) + left * channels, row_of(from, f, y),
                  static_cast<size_t>(width * channels) * sizeof(float));
}

}  // namespace

int64_t tile_count(const TileAxis& rows, const TileAxis& columns) {
  int64_t count = 1;
  for (const TileAxis& axis : {rows, columns}) {
    if (axis.tile < 1 || axis.step < 1 || axis.kept < 1)
      throw Error(ErrorKind::usage, "a tile or the stride from tile to tile is smaller than a pixel of the latents",
                  "give larger tile sizes and strides");
    count *= (axis.extent + axis.step - 1) / axis.step;
  }
  return count;
}

Tensor code_tiles(const TileAxis& rows, const TileAxis& columns, const CodeTile& code) {
  Tensor out;
  std::vector<Tensor> above, row;
  int64_t top = 0, left = 0;
  for (int64_t y = 0; y < rows.extent; y += rows.step) {
    int64_t height = 0;
    left = 0;
    for (int64_t x = 0; x < columns.extent; x += columns.step) {
      Tensor tile = code(y, std::min(y + rows.tile, rows.extent), x, std::min(x + columns.tile, columns.extent));
      if (!out.defined()) out = Tensor::empty({tile.dim(0), rows.result, columns.result, tile.dim(3)});
      if (!above.empty()) blend_from_above(above[row.size()], tile, rows.blend);
      if (!row.empty()) blend_from_left(row.back(), tile, columns.blend);
      height = kept_of(tile.dim(1), top, rows);
      const int64_t width = kept_of(tile.dim(2), left, columns);
      copy_area(tile, out, top, left, height, width);
      left += width;
      row.push_back(std::move(tile));
    }
    top += height;
    above = std::move(row);
    row.clear();
  }
  if (top == rows.result && left == columns.result) return out;
  // Strides that the compression does not divide leave less.
  Tensor smaller = Tensor::empty({out.dim(0), top, left, out.dim(3)});
  copy_area(out, smaller, 0, 0, top, left);
  return smaller;
}

}  // namespace prax::models::mochi

#include "models/cogvideox/vae_tiling.h"

#include <algorithm>
#include <utility>

namespace prax::models::cogvideox {

namespace {

//! The shares of the tile before and of this one at `i` of `extent`.
std::pair<float, float> shares(int64_t i, int64_t extent) {
  const double share = static_cast<double>(i) / static_cast<double>(extent);
  return {static_cast<float>(1 - share), static_cast<float>(share)};
}

void fade(const float* before, float* now, int64_t count, std::pair<float, float> share) {
  for (int64_t i = 0; i < count; ++i) now[i] = before[i] * share.first + now[i] * share.second;
}

//! blend_v: the first rows of `tile` fade in over the last rows of the one above.
void blend_down(const nn::Frame& above, nn::Frame& tile, int64_t extent) {
  extent = std::min({extent, above.height, tile.height});
  for (int64_t y = 0; y < extent; ++y)
    fade(above.pixel(above.height - extent + y, 0), tile.pixel(y, 0), tile.width * tile.channels, shares(y, extent));
}

//! blend_h: the first columns of `tile` fade in over the last columns of the one on the left.
void blend_right(const nn::Frame& left, nn::Frame& tile, int64_t extent) {
  extent = std::min({extent, left.width, tile.width});
  for (int64_t y = 0; y < tile.height; ++y)
    for (int64_t x = 0; x < extent; ++x)
      fade(left.pixel(y, left.width - extent + x), tile.pixel(y, x), tile.channels, shares(x, extent));
}

//! The upper left part of a frame.
nn::Frame cut(const nn::Frame& frame, int64_t height, int64_t width) {
  nn::Frame out = nn::Frame::empty(std::min(frame.height, height), std::min(frame.width, width), frame.channels);
  for (int64_t y = 0; y < out.height; ++y) std::copy_n(frame.pixel(y, 0), out.width * out.channels, out.pixel(y, 0));
  return out;
}

//! Rows of tiles, all of one time, side by side and below each other; gives back their memory.
nn::Frame join(std::vector<std::vector<Chunk>>& rows, size_t t) {
  int64_t height = 0, width = 0;
  for (const auto& row : rows) height += row[0][t].height;
  for (const Chunk& tile : rows[0]) width += tile[t].width;
  nn::Frame out = nn::Frame::empty(height, width, rows[0][0][t].channels);
  int64_t top = 0;
  for (auto& row : rows) {
    int64_t left = 0;
    const int64_t part_height = row[0][t].height;
    for (Chunk& tile : row) {
      for (int64_t y = 0; y < part_height; ++y)
        std::copy_n(tile[t].pixel(y, 0), tile[t].width * out.channels, out.pixel(top + y, left));
      left += tile[t].width;
      tile[t] = {};
    }
    top += part_height;
  }
  return out;
}

}  // namespace

int64_t TileAxis::joined(int64_t size, int64_t scale) const {
  int64_t all = 0;
  for (int64_t at = 0; at < size; at += step()) all += std::min(kept(), std::min(tile, size - at) * scale);
  return all;
}

Chunk code_tiles(int64_t height, int64_t width, const TileAxis& down, const TileAxis& across,
                 const std::function<Chunk(const Area&, int64_t, int64_t)>& code) {
  const int64_t rows = (height + down.step() - 1) / down.step();
  const int64_t columns = (width + across.step() - 1) / across.step();
  std::vector<Chunk> above;              // the row of tiles before
  std::vector<std::vector<Chunk>> kept;  // what is kept of all rows
  for (int64_t i = 0; i < rows; ++i) {
    std::vector<Chunk> now;
    for (int64_t j = 0; j < columns; ++j) {
      const int64_t top = i * down.step(), left = j * across.step();
      const Area area{top, left, std::min(down.tile, height - top), std::min(across.tile, width - left)};
      Chunk tile = code(area, i * columns + j, rows * columns);
      for (size_t t = 0; t < tile.size(); ++t) {
        if (i > 0) blend_down(above[static_cast<size_t>(j)][t], tile[t], down.blend());
        if (j > 0) blend_right(now.back()[t], tile[t], across.blend());
      }
      now.push_back(std::move(tile));
    }
    kept.emplace_back();
    for (const Chunk& tile : now) {
      kept.back().emplace_back();
      for (const nn::Frame& frame : tile) kept.back().back().push_back(cut(frame, down.kept(), across.kept()));
    }
    above = std::move(now);
  }
  Chunk out;
  for (size_t t = 0; t < above.at(0).size(); ++t) out.push_back(join(kept, t));
  return out;
}

}  // namespace prax::models::cogvideox

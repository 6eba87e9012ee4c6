#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/kernels.h"
#include "tensor/memory.h"
#include "tensor/parallel.h"
#include "tensor/tensor.h"

//! How the drivers of matrix products cut C [m, n] into pieces of work. For the .cpp files of this room.
namespace prax::kernels {

inline int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }
inline int64_t blocks_of(int64_t value, int64_t block) { return (value + block - 1) / block; }

//! Weights of a dtype that is packed directly; other floating dtypes become f32 first.
inline Tensor packable(const Tensor& w) { return w.dtype() == DType::bf16 ? w : w.to(DType::f32); }

//! Rows of C are one cache line longer than a power of two, so that they fall into different sets.
constexpr int64_t line_floats = 16;
//! Rows this many bytes apart compete for the same few sets of a cache.
constexpr int64_t aliasing_bytes = 1024;

//! Memory of one thread that only grows, for A, B and C blocks.
struct Scratch {
  std::shared_ptr<void> memory;
  size_t bytes = 0;

  void* get(size_t wanted) {
    if (wanted > bytes) {
      memory.reset();
      memory = allocate(wanted);
      bytes = wanted;
    }
    return memory.get();
  }
};

//! A panel as the tile reads it: itself, or widened, until this thread asks for another.
inline const void* tile_panel(const MatmulKernel& kernel, const void* panel, int64_t depth) {
  if (!kernel.widen) return panel;
  thread_local Scratch wide;
  auto* b = static_cast<float*>(wide.get(static_cast<size_t>(depth * kernel.columns) * sizeof(float)));
  kernel.widen(panel, depth, b);
  return b;
}

//! A part of C.
struct Block {
  int64_t row, rows, column, columns;
};

//! Cuts C [m, n] into tasks of whole tiles, tile_rows x tile_columns, and runs them on all threads.
template <typename Fn>
void for_blocks(int64_t m, int64_t n, int64_t tile_rows, int64_t tile_columns, Fn&& fn) {
  // Rows of A and columns of C that one task works on: C in f32 and the block of A stay in L2.
  constexpr int64_t task_rows = 256, task_columns = 512;
  const int64_t row_blocks = blocks_of(m, std::max(tile_rows, task_rows / tile_rows * tile_rows));
  int64_t rows = round_up(blocks_of(m, row_blocks), tile_rows);
  int64_t columns = round_up(std::min(n, task_columns), tile_columns);
  const int64_t wanted = 4 * int64_t{thread_count()};
  if (row_blocks * blocks_of(n, columns) < wanted)
    columns = std::max(2 * tile_columns, round_up(blocks_of(n, blocks_of(wanted, row_blocks)), tile_columns));
  const int64_t column_blocks = blocks_of(n, columns);
  if (row_blocks * column_blocks < wanted)
    rows = std::min(rows, std::max(2 * tile_rows, round_up(blocks_of(m, blocks_of(wanted, column_blocks)), tile_rows)));
  const int64_t all_rows = blocks_of(m, rows);
  // Columns fastest: neighbours share the rows of A, all of them stream through W.
  parallel_for(all_rows * column_blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t row = task / column_blocks * rows, column = task % column_blocks * columns;
      fn(Block{row, std::min(rows, m - row), column, std::min(columns, n - column)});
    }
  });
}

//! The epilogue of one tile, while it is still in L1.
inline void finish_tile(const KernelTable& table, const float* c, int64_t c_stride, int64_t row, int64_t column,
                        const Block& block, const MatmulKernel& kernel, const Epilogue& e) {
  if (row >= block.rows) return;
  table.epilogue(c + row * c_stride + column, c_stride, std::min<int64_t>(kernel.rows, block.rows - row),
                 std::min<int64_t>(kernel.columns, block.columns - column),
                 e.at(block.row + row, block.column + column));
}

//! Asks for the next panel while tiles use the one before it, with each tile for the share that its time can hide.
class PanelAhead {
public:
  PanelAhead() = default;
  PanelAhead(const void* panel, int64_t bytes, int64_t tiles)
      : at_(static_cast<const char*>(panel)), end_(at_ + bytes), share_(round_up(blocks_of(bytes, tiles), line)) {}

  void ask() {
    for (const char* to = at_ + std::min<int64_t>(share_, end_ - at_); at_ < to; at_ += line)
      __builtin_prefetch(at_, 0, 2);
  }

private:
  static constexpr int64_t line = 64;
  const char *at_ = nullptr, *end_ = nullptr;
  int64_t share_ = 0;
};

}  // namespace prax::kernels

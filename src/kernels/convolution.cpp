#include "kernels/convolution.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/blocks.h"
#include "tensor/parallel.h"

namespace prax::kernels {

namespace {

constexpr int64_t winograd_taps = 16;

thread_local Scratch patch_scratch, product_scratch;

//! U = G g G^T of one 3x3 kernel; G = [1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1].
void transform_kernel(const float* g, float (&u)[winograd_taps]) {
  float rows[4][3];
  for (int x = 0; x < 3; ++x) {
    const float g0 = g[x], g1 = g[3 + x], g2 = g[6 + x];
    rows[0][x] = g0;
    rows[1][x] = (g0 + g1 + g2) / 2;
    rows[2][x] = (g0 - g1 + g2) / 2;
    rows[3][x] = g2;
  }
  for (int y = 0; y < 4; ++y) {
    const auto& [g0, g1, g2] = rows[y];
    u[y * 4] = g0;
    u[y * 4 + 1] = (g0 + g1 + g2) / 2;
    u[y * 4 + 2] = (g0 - g1 + g2) / 2;
    u[y * 4 + 3] = g2;
  }
}

}  // namespace

void matmul_taps(std::span<const void* const> group_base, const int64_t* segment_offset, int64_t m, int64_t a_stride,
                 const PackedMatrix& w, const Epilogue& e) {
  const MatmulKernel& kernel = w.kernel();
  const KernelTable& table = kernels();
  const int64_t depth = w.padded_depth(0);
  const int64_t segment_bytes = depth * kernel.columns * static_cast<int64_t>(size_of(kernel.b_dtype));
  // Segments of one call: all, or as many as stay in L1 widened.
  const int64_t segments = w.segments(),
                together = kernel.widen ? std::max<int64_t>(1, kernel.depth_block / depth) : segments;
  const size_t a_size = size_of(kernel.a_dtype);
  for_blocks(m, w.rows(), kernel.rows, kernel.columns, [&](const Block& block) {
    const int64_t padded_rows = round_up(block.rows, kernel.rows);
    const int64_t c_stride = round_up(block.columns, kernel.columns) + line_floats;
    auto* c = static_cast<float*>(product_scratch.get(static_cast<size_t>(padded_rows * c_stride) * 4));
    for (int64_t g = 0; g < w.groups(); ++g) {
      const char* base = static_cast<const char*>(group_base[static_cast<size_t>(g)]);
      for (int64_t column = 0; column < block.columns; column += kernel.columns) {
        const int64_t index = (block.column + column) / kernel.columns;
        const char* panel = static_cast<const char*>(w.panel(index, g));
        PanelAhead ahead;
        if (column + kernel.columns < block.columns)
          ahead = {w.panel(index + 1, g), segments * segment_bytes,
                   padded_rows / kernel.rows * blocks_of(segments, together)};
        for (int64_t s = 0; s < segments; s += together) {
          const int64_t count = std::min(together, segments - s);
          const void* b = tile_panel(kernel, panel + s * segment_bytes, count * depth);
          const bool last = g + 1 == w.groups() && s + count == segments;
          for (int64_t row = 0; row < padded_rows; row += kernel.rows) {
            ahead.ask();
            kernel.tile(base + static_cast<size_t>((block.row + row) * a_stride) * a_size, a_stride, segment_offset + s,
                        static_cast<int>(count), depth, b, c + row * c_stride + column, c_stride, g > 0 || s > 0);
            if (last) finish_tile(table, c, c_stride, row, column, block, kernel, e);
          }
        }
      }
    }
  });
}

WinogradWeights WinogradWeights::pack(const Tensor& weight, DType dtype) {
  // Patches of a chunk, its panel and the products stay in L2 together.
  constexpr int64_t most_channels = 128;
  const Tensor w = packable(weight);
  WinogradWeights p;
  const int64_t out = w.dim(0);
  p.in_ = w.dim(1);
  p.pictures_ = w.shape().size() == 5 ? w.dim(2) : 1;
  p.chunks_ = blocks_of(p.in_, most_channels);
  const int64_t multiple = (dtype == DType::f32 ? kernels().f32 : kernels().bf16).depth_multiple;
  p.chunk_ = round_up(blocks_of(p.in_, p.chunks_), multiple);
  const auto value = [&w](int64_t i) {
    return w.dtype() == DType::f32 ? w.data<float>()[i] : static_cast<float>(w.data<bfloat16>()[i]);
  };
  const auto fill = [&]<typename T>(int64_t row, int64_t group, T* to) {
    const int64_t picture = group / p.chunks_, first = group % p.chunks_ * p.chunk_;
    for (int64_t c = 0; c < p.chunk_; ++c) {
      float g[9] = {}, u[winograd_taps];
      if (first + c < p.in_)
        for (int64_t tap = 0; tap < 9; ++tap)
          g[tap] = value(((row * p.in_ + first + c) * p.pictures_ + picture) * 9 + tap);
      transform_kernel(g, u);
      for (int64_t tap = 0; tap < winograd_taps; ++tap) to[tap * p.chunk_ + c] = T(u[tap]);
    }
  };
  p.packed_ = PackedMatrix::pack_groups(out, dtype, p.pictures_ * p.chunks_, winograd_taps, p.chunk_,
                                        [&](int64_t row, int64_t group, void* to) {
                                          if (dtype == DType::f32) return fill(row, group, static_cast<float*>(to));
                                          fill(row, group, static_cast<bfloat16*>(to));
                                        });
  return p;
}

void convolve_winograd(const BorderedPictures& in, const WinogradWeights& w, const ConvolvedPicture& out) {
  const MatmulKernel& kernel = w.kernel();
  const auto& k = kernels();
  if (static_cast<int64_t>(in.first.size()) != w.pictures() || (in.dtype != kernel.a_dtype && in.dtype != DType::bf16))
    throw Error(ErrorKind::internal, "pictures do not fit a convolution's weights");
  const int64_t across = (out.width + 1) / 2, patches = across * ((out.height + 1) / 2), columns = w.out();
  // What a task works on: products of 16 taps in f32, and a chunk's patches.
  const int64_t task_patches = std::min<int64_t>(round_up(patches, kernel.rows), 64 / kernel.rows * kernel.rows);
  const int64_t task_columns = std::min<int64_t>(round_up(columns, kernel.columns), 256);
  const int64_t column_blocks = blocks_of(columns, task_columns), patch_blocks = blocks_of(patches, task_patches);
  const int64_t c_stride = task_columns + line_floats, c_tap = task_patches * c_stride;
  const int64_t a_tap = task_patches * w.chunk();
  const int64_t panel_bytes = w.chunk() * kernel.columns * static_cast<int64_t>(size_of(kernel.b_dtype));
  // A panel serves few patches: where the weights come from beyond L2, waiting for them would take a third of the time.
  const bool far = w.bytes() > size_t{2} << 20;
  const size_t a_size = size_of(kernel.a_dtype), residual_size = size_of(out.residual_dtype);
  parallel_for(patch_blocks * column_blocks, 1, [&](int64_t begin, int64_t end) {
    char* a = static_cast<char*>(patch_scratch.get(static_cast<size_t>(winograd_taps * a_tap) * a_size));
    auto* c = static_cast<float*>(product_scratch.get(static_cast<size_t>(winograd_taps * c_tap) * sizeof(float)));
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task / column_blocks * task_patches, count = std::min(task_patches, patches - first);
      const int64_t column = task % column_blocks * task_columns, last = std::min(columns, column + task_columns);
      const int64_t rows = round_up(count, kernel.rows), offset = 0;
      for (int64_t picture = 0; picture < w.pictures(); ++picture)
        for (int64_t chunk = 0; chunk < w.chunks(); ++chunk) {
          const int64_t channel = chunk * w.chunk(), channels = std::min(w.chunk(), w.in() - channel);
          for (int64_t p = 0; p < count;) {  // runs that end where the picture does
            const int64_t y = (first + p) / across, x = (first + p) % across, run = std::min(count - p, across - x);
            const int64_t at = 2 * y * in.row_stride + 2 * x * in.pixel_stride + channel;
            k.winograd_in(static_cast<const char*>(in.first[static_cast<size_t>(picture)]) +
                              static_cast<size_t>(at) * size_of(in.dtype),
                          in.dtype, in.pixel_stride, in.row_stride, run, channels, w.chunk(),
                          a + static_cast<size_t>(p * w.chunk()) * a_size, kernel.a_dtype, w.chunk(), a_tap);
            p += run;
          }
          const bool more = picture > 0 || chunk > 0;
          for (int64_t tap = 0; tap < winograd_taps; ++tap)
            for (int64_t j = column; j < last; j += kernel.columns) {
              const void* panel = tile_panel(kernel, w.panel(j / kernel.columns, picture, chunk, tap), w.chunk());
              PanelAhead ahead;
              if (far && j + kernel.columns < last)
                ahead = {w.panel(j / kernel.columns + 1, picture, chunk, tap), panel_bytes, rows / kernel.rows};
              else if (far && tap + 1 < winograd_taps)
                ahead = {w.panel(column / kernel.columns, picture, chunk, tap + 1), panel_bytes, rows / kernel.rows};
              for (int64_t row = 0; row < rows; row += kernel.rows) {
                ahead.ask();
                kernel.tile(a + static_cast<size_t>(tap * a_tap + row * w.chunk()) * a_size, w.chunk(), &offset, 1,
                            w.chunk(), panel, c + tap * c_tap + row * c_stride + (j - column), c_stride, more);
              }
            }
        }
      for (int64_t p = 0; p < count; ++p) {
        const int64_t y = 2 * ((first + p) / across), x = 2 * ((first + p) % across);
        const int64_t to = y * out.out_row + x * columns + column;
        k.winograd_out(
            c + p * c_stride, c_tap, last - column, out.bias ? out.bias + column : nullptr,
            out.residual ? static_cast<const char*>(out.residual) + static_cast<size_t>(to) * residual_size : nullptr,
            out.residual_dtype, out.height - y, out.width - x, out.out + to, columns, out.out_row);
      }
    }
  });
}

}  // namespace prax::kernels

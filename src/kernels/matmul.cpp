#include "kernels/matmul.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>

#include "base/error.h"
#include "kernels/blocks.h"
#include "tensor/parallel.h"

namespace prax::kernels {

namespace {

thread_local Scratch a_scratch, b_scratch, c_scratch;

//! Copies [rows, depth] of A from column k0 into rows of `pitch` elements of the kernel's dtype, zeros behind.
void copy_rows(const void* a, DType a_dtype, int64_t a_stride, int64_t rows, int64_t depth, int64_t padded,
               const MatmulKernel& kernel, int64_t pitch, void* out) {
  const size_t from_size = size_of(a_dtype), to_size = size_of(kernel.a_dtype);
  for (int64_t r = 0; r < rows; ++r) {
    const char* from = static_cast<const char*>(a) + static_cast<size_t>(r * a_stride) * from_size;
    char* to = static_cast<char*>(out) + static_cast<size_t>(r * pitch) * to_size;
    if (a_dtype == kernel.a_dtype) {
      std::memcpy(to, from, static_cast<size_t>(depth) * to_size);
    } else {
      kernels().convert(from, a_dtype, depth, to, kernel.a_dtype);
    }
    if (padded > depth)
      std::memset(to + static_cast<size_t>(depth) * to_size, 0, static_cast<size_t>(padded - depth) * to_size);
  }
}

//! A panel of W for (panel, group): packed before, or packed now.
using PanelAt = std::function<const void*(int64_t panel, int64_t group)>;
//! Asks for a share (`tile` of `tiles`) of the rows that a panel will be packed from.
using PrefetchRows = std::function<void(int64_t panel, int64_t group, int64_t tile, int64_t tiles)>;

//! One product of the sum A W^T + ...
struct Operand {
  const void* a;
  DType a_dtype;
  int64_t a_stride, k;
  PanelAt panel_at;
  PrefetchRows prefetch;  //!< empty where panels are packed already
};

//! Adds one operand's product to a block of C, or makes it the block's first; the last operand's call finishes the
//! tiles.
void add_product(const Operand& o, const Block& block, const MatmulKernel& kernel, float* c, int64_t c_stride,
                 bool first, const Epilogue* finish) {
  const KernelTable& table = kernels();
  const int64_t group_depth = kernel.depth_block, groups = blocks_of(o.k, group_depth);
  const int64_t padded_rows = round_up(block.rows, kernel.rows);
  const size_t a_size = size_of(kernel.a_dtype);
  // A is read where it lies when its rows are whole tiles of the right type, and do not fall into few cache sets.
  const bool in_place = o.a_dtype == kernel.a_dtype && o.k % kernel.depth_multiple == 0 && padded_rows == block.rows &&
                        o.a_stride * static_cast<int64_t>(a_size) % aliasing_bytes != 0;
  const int64_t copied =
      round_up(std::min(o.k, group_depth), kernel.depth_multiple) + 64 / static_cast<int64_t>(a_size);
  const int64_t pitch = in_place ? o.a_stride : copied;
  void* copy = in_place ? nullptr : a_scratch.get(static_cast<size_t>(padded_rows * copied) * a_size);
  const char* from = static_cast<const char*>(o.a) + static_cast<size_t>(block.row * o.a_stride) * size_of(o.a_dtype);
  const int64_t tiles = padded_rows / kernel.rows;
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t depth = std::min(group_depth, o.k - g * group_depth);
    const int64_t padded = round_up(depth, kernel.depth_multiple);
    const char* rows = from + static_cast<size_t>(g * group_depth) * size_of(o.a_dtype);
    if (!in_place) {
      copy_rows(rows, o.a_dtype, o.a_stride, block.rows, depth, padded, kernel, pitch, copy);
      rows = static_cast<const char*>(copy);
    }
    for (int64_t column = 0; column < block.columns; column += kernel.columns) {
      const int64_t index = (block.column + column) / kernel.columns;
      const void* panel = tile_panel(kernel, o.panel_at(index, g), padded);
      const bool next = column + kernel.columns < block.columns;
      PanelAhead ahead;
      if (next && !o.prefetch)
        ahead = {o.panel_at(index + 1, g), padded * kernel.columns * static_cast<int64_t>(size_of(kernel.b_dtype)),
                 tiles};
      const int64_t no_offset = 0;
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t row = tile * kernel.rows;
        ahead.ask();
        if (next && o.prefetch) o.prefetch(index + 1, g, tile, tiles);
        kernel.tile(rows + static_cast<size_t>(row * pitch) * a_size, pitch, &no_offset, 1, padded, panel,
                    c + row * c_stride + column, c_stride, !first || g > 0);
        if (finish && g + 1 == groups) finish_tile(table, c, c_stride, row, column, block, kernel, *finish);
      }
    }
  }
}

Operand operand_of(const void* a, DType a_dtype, int64_t a_stride, const PackedMatrix& w) {
  return {a, a_dtype, a_stride, w.depth(), [&w](int64_t panel, int64_t group) { return w.panel(panel, group); }, {}};
}

void matmul_blocks(const Operand& product, const Addend* addend, int64_t m, int64_t n, const MatmulKernel& kernel,
                   const Epilogue& e) {
  if (m == 0 || n == 0) return;
  std::optional<Operand> more;
  if (addend) {
    if (addend->w->rows() != n || &addend->w->kernel() != &kernel)
      throw Error(ErrorKind::internal, "two products of different kinds cannot be added");
    more = operand_of(addend->a, addend->a_dtype, addend->a_stride, *addend->w);
  }
  for_blocks(m, n, kernel.rows, kernel.columns, [&](const Block& block) {
    const int64_t c_stride = round_up(block.columns, kernel.columns) + line_floats;
    auto* c = static_cast<float*>(c_scratch.get(static_cast<size_t>(round_up(block.rows, kernel.rows) * c_stride) * 4));
    add_product(product, block, kernel, c, c_stride, true, more ? nullptr : &e);
    if (more) add_product(*more, block, kernel, c, c_stride, false, &e);
  });
}

}  // namespace

int64_t PackedMatrix::group_depth(int64_t group) const {
  return segments_ > 1 ? depth_ : std::min(depth_, k_ - group * depth_);
}

int64_t PackedMatrix::padded_depth(int64_t group) const {
  return round_up(group_depth(group), kernel().depth_multiple);
}

const void* PackedMatrix::panel(int64_t panel, int64_t group) const {
  const MatmulKernel& k = kernel();
  const int64_t group_bytes =
      segments_ * round_up(depth_, k.depth_multiple) * k.columns * static_cast<int64_t>(size_of(dtype_));
  return static_cast<const char*>(data_.raw()) + panel * panel_bytes_ + group * group_bytes;
}

PackedMatrix PackedMatrix::pack(const Tensor& w, DType dtype) {
  if (dtype != DType::f32 && dtype != DType::bf16)
    throw Error(ErrorKind::internal, "weights cannot be packed as " + std::string(name_of(dtype)));
  PackedMatrix p;
  p.dtype_ = dtype;
  p.n_ = w.dim(0);
  p.k_ = w.dim(1);
  const MatmulKernel& kernel = p.kernel();
  p.depth_ = std::min<int64_t>(kernel.depth_block, p.k_);
  p.groups_ = blocks_of(p.k_, kernel.depth_block);
  const int64_t padded_k = round_up(p.k_, kernel.depth_multiple), panels = blocks_of(p.n_, kernel.columns);
  p.panel_bytes_ = padded_k * kernel.columns * static_cast<int64_t>(size_of(dtype));
  p.data_ = Tensor::empty({panels, padded_k, kernel.columns}, dtype);
  const Tensor source = packable(w);
  parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j)
      for (int64_t g = 0; g < p.groups_; ++g) {
        const int64_t row = j * kernel.columns, k0 = g * p.depth_;
        kernel.pack(
            static_cast<const char*>(source.raw()) + static_cast<size_t>(row * p.k_ + k0) * size_of(source.dtype()),
            source.dtype(), p.k_, std::min<int64_t>(kernel.columns, p.n_ - row), p.group_depth(g), p.padded_depth(g),
            const_cast<void*>(p.panel(j, g)));
      }
  });
  return p;
}

PackedMatrix PackedMatrix::pack_groups(int64_t n, DType dtype, int64_t groups, int64_t segments, int64_t depth,
                                       const FillGroup& fill) {
  PackedMatrix p;
  p.dtype_ = dtype;
  p.n_ = n;
  p.k_ = groups * segments * depth;
  p.groups_ = groups;
  p.segments_ = segments;
  p.depth_ = depth;
  const MatmulKernel& kernel = p.kernel();
  const int64_t padded = round_up(depth, kernel.depth_multiple), panels = blocks_of(n, kernel.columns);
  const size_t element = size_of(dtype), row_bytes = static_cast<size_t>(segments * depth) * element;
  const int64_t segment_bytes = padded * kernel.columns * static_cast<int64_t>(element);
  p.panel_bytes_ = groups * segments * segment_bytes;
  p.data_ = Tensor::empty({panels, groups * segments * padded, kernel.columns}, dtype);
  parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    char* rows = static_cast<char*>(a_scratch.get(static_cast<size_t>(kernel.columns) * row_bytes));
    for (int64_t j = begin; j < end; ++j) {
      const int64_t first = j * kernel.columns, count = std::min<int64_t>(kernel.columns, n - first);
      for (int64_t g = 0; g < groups; ++g) {
        for (int64_t r = 0; r < count; ++r) fill(first + r, g, rows + static_cast<size_t>(r) * row_bytes);
        char* to = static_cast<char*>(p.data_.raw()) + j * p.panel_bytes_ + g * segments * segment_bytes;
        for (int64_t s = 0; s < segments; ++s)
          kernel.pack(rows + static_cast<size_t>(s * depth) * element, dtype, segments * depth, count, depth, padded,
                      to + s * segment_bytes);
      }
    }
  });
  return p;
}

void matmul(const void* a, DType a_dtype, int64_t m, int64_t a_stride, const PackedMatrix& w, const Epilogue& e,
            const Addend* addend) {
  matmul_blocks(operand_of(a, a_dtype, a_stride, w), addend, m, w.rows(), w.kernel(), e);
}

void matmul_streamed(const void* a, DType a_dtype, int64_t m, int64_t a_stride, const Tensor& w, DType dtype,
                     const Epilogue& e, const Addend* addend) {
  const MatmulKernel& kernel = dtype == DType::f32 ? kernels().f32 : kernels().bf16;
  const int64_t n = w.dim(0), k = w.dim(1);
  const Tensor source = packable(w);
  const auto pack_panel = [&](int64_t panel, int64_t group) -> const void* {
    const int64_t row = panel * kernel.columns, k0 = group * kernel.depth_block;
    const int64_t depth = std::min<int64_t>(kernel.depth_block, k - k0);
    const int64_t padded = round_up(depth, kernel.depth_multiple);
    void* packed = b_scratch.get(static_cast<size_t>(padded * kernel.columns) * size_of(dtype));
    kernel.pack(static_cast<const char*>(source.raw()) + static_cast<size_t>(row * k + k0) * size_of(source.dtype()),
                source.dtype(), k, std::min<int64_t>(kernel.columns, n - row), depth, padded, packed);
    return packed;
  };
  // The rows of a panel lie far apart: nothing but this reads ahead for them.
  const auto prefetch = [&](int64_t panel, int64_t group, int64_t tile, int64_t tiles) {
    const int64_t first = panel * kernel.columns, count = std::min<int64_t>(kernel.columns, n - first);
    const int64_t k0 = group * kernel.depth_block, depth = std::min<int64_t>(kernel.depth_block, k - k0);
    const int64_t element = static_cast<int64_t>(size_of(source.dtype()));
    for (int64_t row = count * tile / tiles; row < count * (tile + 1) / tiles; ++row)
      PanelAhead(static_cast<const char*>(source.raw()) + ((first + row) * k + k0) * element, depth * element, 1).ask();
  };
  matmul_blocks({a, a_dtype, a_stride, k, pack_panel, prefetch}, addend, m, n, kernel, e);
}

}  // namespace prax::kernels

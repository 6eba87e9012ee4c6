#include "kernels/matmul.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "kernels/blocks.h"
#include "tensor/parallel.h"

namespace prax::kernels {

namespace {

thread_local Scratch a_scratch, c_scratch, rounded_scratch, turned_scratch;

//! One product of the sum A W^T + ...
struct Product {
  const void* a;
  DType a_dtype;
  int64_t a_stride;
  const PackedMatrix* w;
  bool far = false;      //!< rows of A lie in memory, and nothing else reads ahead for them
  bool as_bf16 = false;  //!< A of f32 is rounded to bf16 and multiplied as f32
};

//! Copies [rows, depth] of A, from `from` on, into rows of `pitch` elements of the kernel's dtype, zeros behind.
void copy_rows(const Product& p, const char* from, int64_t rows, int64_t depth, int64_t padded,
               const MatmulKernel& kernel, int64_t pitch, void* out) {
  const size_t from_size = size_of(p.a_dtype), to_size = size_of(kernel.a_dtype);
  void* rounded = p.as_bf16 ? rounded_scratch.get(static_cast<size_t>(depth) * size_of(DType::bf16)) : nullptr;
  for (int64_t r = 0; r < rows; ++r, from += static_cast<size_t>(p.a_stride) * from_size) {
    char* to = static_cast<char*>(out) + static_cast<size_t>(r * pitch) * to_size;
    if (p.as_bf16) {
      kernels().convert(from, p.a_dtype, depth, rounded, DType::bf16);
      kernels().convert(rounded, DType::bf16, depth, to, kernel.a_dtype);
    } else if (p.a_dtype == kernel.a_dtype) {
      std::memcpy(to, from, static_cast<size_t>(depth) * to_size);
    } else {
      kernels().convert(from, p.a_dtype, depth, to, kernel.a_dtype);
    }
    if (padded > depth)
      std::memset(to + static_cast<size_t>(depth) * to_size, 0, static_cast<size_t>(padded - depth) * to_size);
  }
}

//! Asks for columns [begin, end) of a share (`part` of `parts`) of a block's rows of A.
void ask_for_rows(const Product& p, const Block& block, int64_t begin, int64_t end, int64_t part, int64_t parts) {
  const auto element = static_cast<int64_t>(size_of(p.a_dtype));
  const char* rows = static_cast<const char*>(p.a) + (block.row * p.a_stride + begin) * element;
  for (int64_t r = block.rows * part / parts; r < block.rows * (part + 1) / parts; ++r)
    PanelAhead(rows + r * p.a_stride * element, (end - begin) * element, 1).ask();
}

//! Adds a product to a block of C, or makes it the block's first; with `finish` its tiles get their epilogue.
void add_product(const Product& o, const Block& block, float* c, int64_t c_stride, bool first, const Epilogue* finish) {
  const KernelTable& table = kernels();
  const MatmulKernel& kernel = o.w->kernel();
  const int64_t k = o.w->depth(), group_depth = kernel.depth_block, groups = blocks_of(k, group_depth);
  const int64_t padded_rows = round_up(block.rows, kernel.rows);
  const size_t a_size = size_of(kernel.a_dtype);
  // A is read where it lies when its rows are whole tiles of the right type, and do not fall into few cache sets.
  const bool in_place = !o.as_bf16 && o.a_dtype == kernel.a_dtype && k % kernel.depth_multiple == 0 &&
                        padded_rows == block.rows && o.a_stride * static_cast<int64_t>(a_size) % aliasing_bytes != 0;
  const int64_t copied = round_up(std::min(k, group_depth), kernel.depth_multiple) + 64 / static_cast<int64_t>(a_size);
  const int64_t pitch = in_place ? o.a_stride : copied;
  void* copy = in_place ? nullptr : a_scratch.get(static_cast<size_t>(padded_rows * copied) * a_size);
  const char* from = static_cast<const char*>(o.a) + static_cast<size_t>(block.row * o.a_stride) * size_of(o.a_dtype);
  const int64_t tiles = padded_rows / kernel.rows, panels = blocks_of(block.columns, kernel.columns);
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t depth = std::min(group_depth, k - g * group_depth);
    const int64_t padded = round_up(depth, kernel.depth_multiple);
    const char* rows = from + static_cast<size_t>(g * group_depth) * size_of(o.a_dtype);
    if (!in_place) {
      copy_rows(o, rows, block.rows, depth, padded, kernel, pitch, copy);
      rows = static_cast<const char*>(copy);
    }
    for (int64_t column = 0; column < block.columns; column += kernel.columns) {
      const int64_t index = (block.column + column) / kernel.columns;
      const void* panel = tile_panel(kernel, o.w->panel(index, g), padded);
      PanelAhead ahead;
      if (column + kernel.columns < block.columns)
        ahead = {o.w->panel(index + 1, g), padded * kernel.columns * static_cast<int64_t>(size_of(kernel.b_dtype)),
                 tiles};
      const int64_t no_offset = 0;
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t row = tile * kernel.rows;
        ahead.ask();
        if (o.far && g + 1 < groups)
          ask_for_rows(o, block, (g + 1) * group_depth, std::min(k, (g + 2) * group_depth),
                       column / kernel.columns * tiles + tile, panels * tiles);
        kernel.tile(rows + static_cast<size_t>(row * pitch) * a_size, pitch, &no_offset, 1, padded, panel,
                    c + row * c_stride + column, c_stride, !first || g > 0);
        if (finish && g + 1 == groups) finish_tile(table, c, c_stride, row, column, block, kernel, *finish);
      }
    }
  }
}

//! An addend of W [n, k] in `dtype`, or none.
void require_kin(int64_t n, DType dtype, const Addend* addend) {
  if (addend && (addend->w->rows() != n || addend->w->dtype() != dtype))
    throw Error(ErrorKind::internal, "two products of different kinds cannot be added");
}

Product product_of(const Addend& a) { return {a.a, a.a_dtype, a.a_stride, a.w}; }

//! Whether no value has an exponent of ones only.
template <typename Bits>
bool all_finite(const void* values, int64_t count, Bits exponent) {
  const auto* v = static_cast<const Bits*>(values);
  Bits bad = 0;
  for (int64_t i = 0; i < count; ++i) bad |= static_cast<Bits>((v[i] & exponent) == exponent);
  return bad == 0;
}

bool all_finite(const void* values, DType dtype, int64_t count) {
  return dtype == DType::f32 ? all_finite<uint32_t>(values, count, 0x7f800000u)
                             : all_finite<uint16_t>(values, count, 0x7f80u);
}

//! `to` [columns, rows] = from [rows, columns]. Whole squares of 4 x 4: more is read and written, up to 3 rows and
//! columns.
void transpose(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to, int64_t to_stride) {
  typedef float Four __attribute__((vector_size(16)));
  typedef int32_t Places __attribute__((vector_size(16)));
  constexpr Places low{0, 4, 1, 5}, high{2, 6, 3, 7}, first{0, 1, 4, 5}, second{2, 3, 6, 7};
  for (int64_t r = 0; r < rows; r += 4)
    for (int64_t c = 0; c < columns; c += 4) {
      Four in[4];
      for (int i = 0; i < 4; ++i) std::memcpy(&in[i], from + (r + i) * from_stride + c, sizeof(Four));
      const Four a = __builtin_shuffle(in[0], in[1], low), b = __builtin_shuffle(in[0], in[1], high);
      const Four d = __builtin_shuffle(in[2], in[3], low), e = __builtin_shuffle(in[2], in[3], high);
      const Four out[4] = {__builtin_shuffle(a, d, first), __builtin_shuffle(a, d, second),
                           __builtin_shuffle(b, e, first), __builtin_shuffle(b, e, second)};
      for (int i = 0; i < 4; ++i) std::memcpy(to + (c + i) * to_stride + r, &out[i], sizeof(Four));
    }
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
  const Tensor source = packable(w);
  return pack(source.raw(), source.dtype(), w.dim(1), w.dim(0), w.dim(1), dtype);
}

PackedMatrix PackedMatrix::pack(const void* rows, DType rows_dtype, int64_t stride, int64_t n, int64_t k, DType dtype) {
  if (dtype != DType::f32 && dtype != DType::bf16)
    throw Error(ErrorKind::internal, "weights cannot be packed as " + std::string(name_of(dtype)));
  PackedMatrix p;
  p.dtype_ = dtype;
  p.n_ = n;
  p.k_ = k;
  const MatmulKernel& kernel = p.kernel();
  p.depth_ = std::min<int64_t>(kernel.depth_block, p.k_);
  p.groups_ = blocks_of(p.k_, kernel.depth_block);
  const int64_t padded_k = round_up(p.k_, kernel.depth_multiple), panels = blocks_of(p.n_, kernel.columns);
  p.panel_bytes_ = padded_k * kernel.columns * static_cast<int64_t>(size_of(dtype));
  p.data_ = Tensor::empty({panels, padded_k, kernel.columns}, dtype);
  std::atomic<bool> finite = true;
  parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j)
      for (int64_t g = 0; g < p.groups_; ++g) {
        const int64_t row = j * kernel.columns, k0 = g * p.depth_;
        kernel.pack(static_cast<const char*>(rows) + static_cast<size_t>(row * stride + k0) * size_of(rows_dtype),
                    rows_dtype, stride, std::min<int64_t>(kernel.columns, p.n_ - row), p.group_depth(g),
                    p.padded_depth(g), const_cast<void*>(p.panel(j, g)));
        if (!all_finite(p.panel(j, g), dtype, p.padded_depth(g) * kernel.columns)) finite = false;
      }
  });
  p.finite_ = finite;
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
  if (m == 0 || w.rows() == 0) return;
  require_kin(w.rows(), w.dtype(), addend);
  const MatmulKernel& kernel = w.kernel();
  for_blocks(m, w.rows(), kernel.rows, kernel.columns, [&](const Block& block) {
    const int64_t c_stride = round_up(block.columns, kernel.columns) + line_floats;
    auto* c = static_cast<float*>(c_scratch.get(static_cast<size_t>(round_up(block.rows, kernel.rows) * c_stride) * 4));
    add_product({a, a_dtype, a_stride, &w}, block, c, c_stride, true, addend ? nullptr : &e);
    if (addend) add_product(product_of(*addend), block, c, c_stride, false, &e);
  });
}

//! W takes the place of A, whose rows are read where they lie, and it is the few rows of A that are packed.
bool matmul_streamed(const void* a, DType a_dtype, int64_t m, int64_t a_stride, const Tensor& w, DType dtype,
                     const Epilogue& e, const Addend* addend) {
  constexpr int64_t together = 1024;  // rows of A: what is packed of them stays small
  const MatmulKernel& kernel = dtype == DType::f32 ? kernels().f32 : kernels().bf16;
  const int64_t n = w.dim(0), k = w.dim(1);
  if (n == 0) return true;
  require_kin(n, dtype, addend);
  std::atomic<bool> finite = true;
  const Tensor source = packable(w);
  // Where bf16 is multiplied as f32 it is the weights alone that are bf16.
  const bool as_bf16 = dtype == DType::bf16 && source.dtype() != dtype && kernel.a_dtype != dtype;
  for (int64_t first = 0; first < m; first += together) {
    const int64_t count = std::min(together, m - first);
    const PackedMatrix rows =
        PackedMatrix::pack(static_cast<const char*>(a) + static_cast<size_t>(first * a_stride) * size_of(a_dtype),
                           a_dtype, a_stride, count, k, kernel.a_dtype);
    const MatmulKernel& turned = rows.kernel();
    // Rows of W become columns of C: an addend needs whole panels of them.
    const int64_t tile_rows = addend ? std::lcm(turned.rows, kernel.columns) : turned.rows;
    for_blocks(n, count, tile_rows, turned.columns, [&](const Block& block) {
      const int64_t stride = round_up(block.columns, turned.columns) + line_floats;
      auto* sums = static_cast<float*>(
          turned_scratch.get(static_cast<size_t>((round_up(block.rows, turned.rows) + 3) * stride) * 4));
      add_product({source.raw(), source.dtype(), k, &rows, true, as_bf16}, block, sums, stride, true, nullptr);
      for (int64_t r = 0; r < block.rows; ++r)
        if (!all_finite(sums + r * stride, DType::f32, block.columns)) finite = false;
      const Block part{first + block.column, block.columns, block.row, block.rows};
      const int64_t c_stride = round_up(part.columns, kernel.columns) + line_floats;
      auto* c = static_cast<float*>(
          c_scratch.get(static_cast<size_t>((round_up(part.rows, kernel.rows) + 3) * c_stride) * 4));
      transpose(sums, stride, part.columns, part.rows, c, c_stride);
      if (addend) return add_product(product_of(*addend), part, c, c_stride, false, &e);
      kernels().epilogue(c, c_stride, part.rows, part.columns, e.at(part.row, part.column));
    });
  }
  return finite;
}

}  // namespace prax::kernels

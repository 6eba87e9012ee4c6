#include "kernels/quantized_matmul.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernels/blocks.h"

namespace prax::kernels {

namespace {

thread_local Scratch sums_scratch;

//! Rounding to whole multiples of a scale has an error that is even over it: its square is scale^2 / 12 on average.
double expected_squares(float scale, int64_t count) {
  return static_cast<double>(scale) * scale / 12 * static_cast<double>(count);
}

double relative_error(std::span<const QuantizedRow> rows, int64_t count) {
  QuantizationLoss loss;
  for (const QuantizedRow& row : rows) loss.add(row, count);
  return loss.relative();
}

//! Rows of one of the weights that are stacked.
struct Stored {
  Tensor weight;          //!< f32, bf16 or i8
  const float* scales{};  //!< of i8
  const char* row(int64_t r) const {
    return static_cast<const char*>(weight.raw()) + static_cast<size_t>(r * weight.dim(1)) * size_of(weight.dtype());
  }
};

//! What quantize() would say of a row that is int8 already.
QuantizedRow facts_of(const int8_t* bytes, int64_t count, float scale) {
  int64_t squares = 0;
  for (int64_t i = 0; i < count; ++i) squares += int64_t{bytes[i]} * bytes[i];
  return {scale, 0, static_cast<float>(squares) * scale * scale};
}

//! Bytes of -127..127 become some of -most..most, with a larger scale. Of what was stored and what was rounded just now
//! the same comes out.
void narrow(int8_t* bytes, int64_t count, int most, QuantizedRow& row) {
  const float factor = static_cast<float>(most) / 127.0f;
  for (int64_t i = 0; i < count; ++i)
    bytes[i] = static_cast<int8_t>(std::nearbyint(static_cast<float>(bytes[i]) * factor));
  row.scale *= 127.0f / static_cast<float>(most);
}

}  // namespace

void QuantizationLoss::add(const QuantizedRow& row, int64_t count) {
  error += expected_squares(row.scale, count);
  squares += row.squares;
}

double QuantizationLoss::relative() const { return squares > 0 ? std::sqrt(error / squares) : 0; }

QuantizedRows quantize_rows(const Tensor& w, QuantizationLoss& loss) {
  const Tensor from = packable(w);
  const int64_t n = w.dim(0), k = w.dim(1);
  QuantizedRows q{Tensor::empty({n, k}, DType::i8), Tensor::empty({n})};
  std::vector<QuantizedRow> facts(static_cast<size_t>(n));
  parallel_for(n, std::max<int64_t>(1, 65536 / (k + 1)), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const char* row = static_cast<const char*>(from.raw()) + static_cast<size_t>(r * k) * size_of(from.dtype());
      char* to = static_cast<char*>(q.bytes.raw()) + r * k;
      facts[static_cast<size_t>(r)] = kernels().quantize(row, from.dtype(), k, to, DType::i8);
      q.scales.data<float>()[r] = facts[static_cast<size_t>(r)].scale;
    }
  });
  for (const QuantizedRow& row : facts) loss.add(row, k);
  return q;
}

Tensor dequantize_rows(const Tensor& bytes, const Tensor& scales) {
  Tensor w = bytes.to(DType::f32);
  const int64_t k = w.dim(1);
  parallel_for(w.dim(0), std::max<int64_t>(1, 65536 / (k + 1)), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float scale = scales.data<float>()[r];
      for (int64_t i = 0; i < k; ++i) w.data<float>()[r * k + i] *= scale;
    }
  });
  return w;
}

QuantizedMatrix QuantizedMatrix::pack(std::span<const Tensor> weights, std::span<const Tensor> scales) {
  const ByteKernel& kernel = kernels().int8;
  QuantizedMatrix q;
  q.k_ = weights.front().dim(1);
  std::vector<Stored> parts;
  for (size_t i = 0; i < weights.size(); ++i) {
    const Tensor& w = weights[i];
    if (w.dim(1) != q.k_) throw Error(ErrorKind::internal, "stacked weights have different widths");
    q.n_ += w.dim(0);
    if (w.dtype() == DType::i8) {
      parts.push_back({w, scales[i].data<float>()});
    } else {
      parts.push_back({packable(w)});
    }
  }
  const int64_t panels = blocks_of(q.n_, kernel.columns), padded_k = round_up(q.k_, kernel.depth_multiple);
  q.panel_bytes_ = padded_k * kernel.columns;
  q.data_ = Tensor::empty({panels, q.panel_bytes_}, DType::i8);
  q.scales_ = Tensor::zeros({panels * kernel.columns});
  std::vector<QuantizedRow> facts(static_cast<size_t>(q.n_));
  const auto row_of = [&](int64_t row) {
    size_t part = 0;
    while (row >= parts[part].weight.dim(0)) row -= parts[part++].weight.dim(0);
    return std::pair(&parts[part], row);
  };
  parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    std::vector<int8_t> bytes(static_cast<size_t>(kernel.columns * q.k_));
    for (int64_t j = begin; j < end; ++j) {
      const int64_t first = j * kernel.columns, rows = std::min<int64_t>(kernel.columns, q.n_ - first);
      for (int64_t r = 0; r < rows; ++r) {
        const auto [part, index] = row_of(first + r);
        int8_t* to = bytes.data() + r * q.k_;
        QuantizedRow row;
        if (part->scales) {
          std::memcpy(to, part->row(index), static_cast<size_t>(q.k_));
          row = facts_of(to, q.k_, part->scales[index]);
        } else {
          row = kernels().quantize(part->row(index), part->weight.dtype(), q.k_, to, DType::i8);
        }
        const bool narrower = kernel.b_most < 127;
        if (narrower) narrow(to, q.k_, kernel.b_most, row);
        q.scales_.data<float>()[first + r] = row.scale;
        if (part->scales && !narrower) row.scale = 0;  // nothing was rounded
        facts[static_cast<size_t>(first + r)] = row;
      }
      for (int64_t k0 = 0, g = 0; k0 < q.k_; k0 += kernel.depth_block, ++g) {
        const int64_t depth = std::min<int64_t>(kernel.depth_block, q.k_ - k0);
        kernel.pack(bytes.data() + k0, q.k_, rows, depth, round_up(depth, kernel.depth_multiple),
                    const_cast<void*>(q.panel(j, g)));
      }
    }
  });
  q.error_ = relative_error(facts, q.k_);
  return q;
}

const void* QuantizedMatrix::panel(int64_t panel, int64_t group) const {
  const ByteKernel& kernel = kernels().int8;
  return static_cast<const char*>(data_.raw()) + panel * panel_bytes_ + group * kernel.depth_block * kernel.columns;
}

QuantizedActivation::QuantizedActivation(const void* x, DType x_dtype, int64_t m, int64_t x_stride, int64_t k)
    : k_(k), facts_(static_cast<size_t>(m)) {
  const ByteKernel& kernel = kernels().int8;
  const auto element = static_cast<int64_t>(size_of(kernel.a_dtype));
  pitch_ = round_up(k, kernel.depth_multiple);
  if (pitch_ * element % aliasing_bytes == 0) pitch_ += line_floats * 4 / element;
  // Whole tiles are read: the rows behind the last one may hold anything.
  data_ = Tensor::empty({m + kernel.rows, pitch_}, kernel.a_dtype);
  const auto x_element = static_cast<int64_t>(size_of(x_dtype));
  parallel_for(m, std::max<int64_t>(1, 65536 / (k + 1)), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      char* to = static_cast<char*>(data_.raw()) + r * pitch_ * element;
      facts_[static_cast<size_t>(r)] =
          kernels().quantize(static_cast<const char*>(x) + r * x_stride * x_element, x_dtype, k, to, kernel.a_dtype);
      std::memset(to + k * element, 0, static_cast<size_t>((pitch_ - k) * element));
    }
  });
}

double QuantizedActivation::error(int64_t row) const {
  return relative_error(std::span(facts_).subspan(static_cast<size_t>(row), 1), k_);
}

const void* QuantizedActivation::row(int64_t row) const {
  return static_cast<const char*>(data_.raw()) + row * pitch_ * static_cast<int64_t>(size_of(data_.dtype()));
}

void matmul(const QuantizedActivation& a, int64_t first, int64_t count, const QuantizedMatrix& w, const Epilogue& e) {
  if (a.depth() != w.depth())
    throw Error(ErrorKind::internal,
                "a product of rows of " + std::to_string(a.depth()) + " with weights of " + std::to_string(w.depth()));
  const KernelTable& table = kernels();
  const ByteKernel& kernel = table.int8;
  const int64_t groups = blocks_of(w.depth(), kernel.depth_block);
  for_blocks(count, w.rows(), kernel.rows, kernel.columns, [&](const Block& block) {
    const int64_t c_stride = round_up(block.columns, kernel.columns) + line_floats;
    const int64_t tiles = blocks_of(block.rows, kernel.rows);
    auto* c =
        static_cast<int32_t*>(sums_scratch.get(static_cast<size_t>(tiles * kernel.rows * c_stride) * sizeof(int32_t)));
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t k0 = g * kernel.depth_block;
      const int64_t depth = round_up(std::min<int64_t>(kernel.depth_block, w.depth() - k0), kernel.depth_multiple);
      const int64_t element = static_cast<int64_t>(size_of(kernel.a_dtype));
      for (int64_t column = 0; column < block.columns; column += kernel.columns) {
        const int64_t index = (block.column + column) / kernel.columns;
        const void* panel = w.panel(index, g);
        PanelAhead ahead;
        if (column + kernel.columns < block.columns) ahead = {w.panel(index + 1, g), depth * kernel.columns, tiles};
        for (int64_t tile = 0; tile < tiles; ++tile) {
          const int64_t row = tile * kernel.rows;
          ahead.ask();
          int32_t* at = c + row * c_stride + column;
          kernel.tile(static_cast<const char*>(a.row(first + block.row + row)) + k0 * element, a.pitch(), depth, panel,
                      at, c_stride, g > 0);
          if (g + 1 < groups) continue;
          // The epilogue of one tile, while it is still in L1.
          const int64_t rows = std::min<int64_t>(kernel.rows, block.rows - row);
          const int64_t columns = std::min<int64_t>(kernel.columns, block.columns - column);
          table.dequantize(at, c_stride, rows, columns, a.facts() + first + block.row + row, kernel.b_offset,
                           w.scales() + block.column + column);
          table.epilogue(reinterpret_cast<const float*>(at), c_stride, rows, columns,
                         e.at(block.row + row, block.column + column));
        }
      }
    }
  });
}

}  // namespace prax::kernels

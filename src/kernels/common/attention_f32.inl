// Attention in f32 on vectors of any width; bf16 operands are widened while they are packed. Everything has internal
// linkage (see vector.inl).

#include "kernels/attention_kernel.h"
#include "kernels/common/matmul.inl"

namespace {

//! e^x for x <= 0 to about 1 ulp, and exactly 0 where e^x would be denormal (-infinity above all).
inline Floats exp_of_negative(Floats x) { return select_less(x, splat(-87.3f), Floats{}, exp(x)); }

//! `channels` of one token as f32, up to `padded` with zeros.
inline void widen(const void* data, prax::DType dtype, int64_t offset, int64_t channels, int64_t padded, float* out) {
  int64_t c = 0;
  for (; c + LANES <= channels; c += LANES)
    store(out + c, dtype == prax::DType::f32 ? load(static_cast<const float*>(data) + offset + c)
                                             : load(static_cast<const uint16_t*>(data) + offset + c));
  for (; c < channels; ++c) out[c] = element(data, dtype, offset + c);
  for (; c < padded; ++c) out[c] = 0;
}

template <typename T>
inline void put_channels(T* to, Floats v, int64_t left) {
  if (left >= LANES) {
    store(to, v);
  } else {
    store_some(to, v, left);
  }
}

//! One query's result: weighted sums of values over the sum of the weights.
inline void write_row(const prax::kernels::AttentionHead& h, int64_t query, const float* sums, float total) {
  const int64_t at = query * h.out_stride;
  for (int64_t c = 0; c < h.head_dim; c += LANES) {
    const Floats v = total > 0 ? load(sums + c) / total : total != total ? splat(total) : Floats{};
    if (h.dtype == prax::DType::f32) {
      put_channels(static_cast<float*>(h.out) + at + c, v, h.head_dim - c);
    } else {
      put_channels(static_cast<uint16_t*>(h.out) + at + c, v, h.head_dim - c);
    }
  }
}

//! Tiles are ROWS queries by WIDTH keys (scores) or channels (outputs). Panels of K are [head_dim][width] and of V
//! [KEYS][width]; a last panel that needs one vector only has the width of one.
template <int ROWS, int VECTORS>
struct AttentionF32 {
  static_assert(VECTORS == 2);
  static constexpr int64_t WIDTH = VECTORS * LANES, KEYS = 128, STRIDE = KEYS + LANES;
  static constexpr int64_t QUERIES = (96 + ROWS - 1) / ROWS * ROWS;

  using Head = prax::kernels::AttentionHead;

  static int64_t padded(int64_t head_dim) { return (head_dim + LANES - 1) / LANES * LANES; }

  static int64_t packed_bytes(int64_t key_tokens, int64_t head_dim) {
    return (key_tokens + KEYS - 1) / KEYS * KEYS * padded(head_dim) * 4;
  }

  //! Byte counts of the parts in the order in which run() cuts them.
  static int64_t scratch_bytes(int64_t head_dim) {
    return 4 * (QUERIES * padded(head_dim) * 2 + QUERIES * STRIDE + ROWS * WIDTH + QUERIES * (LANES + 2) + 64);
  }

  static int64_t panel_width(int64_t remaining) { return remaining > LANES ? WIDTH : LANES; }

  static void pack(const Head& h, int64_t block) {
    const int64_t first = block * KEYS, count = h.key_tokens - first < KEYS ? h.key_tokens - first : KEYS;
    float* keys = static_cast<float*>(h.packed_keys) + first * padded(h.head_dim);
    for (int64_t k = 0; k < count; k += WIDTH) {
      const int64_t width = panel_width(count - k);
      float* panel = keys + k * h.head_dim;
      for (int64_t i = 0; i < width; ++i)
        for (int64_t d = 0; d < h.head_dim; ++d)
          panel[d * width + i] = k + i < count ? element(h.key, h.dtype, (first + k + i) * h.key_stride + d) : 0.0f;
    }
    float* values = static_cast<float*>(h.packed_values) + first * padded(h.head_dim);
    for (int64_t c = 0; c < h.head_dim; c += WIDTH) {
      const int64_t width = panel_width(h.head_dim - c), channels = h.head_dim - c < width ? h.head_dim - c : width;
      float* panel = values + c * KEYS;
      for (int64_t k = 0; k < count; ++k)
        widen(h.value, h.dtype, (first + k) * h.value_stride + c, channels, width, panel + k * width);
    }
  }

  static void multiply(const float* a, int64_t a_stride, int64_t depth, const float* b, int64_t width, float* c,
                       int64_t c_stride) {
    const int64_t start = 0;
    if (width == WIDTH) {
      tile_f32<ROWS, VECTORS>(a, a_stride, &start, 1, depth, b, c, c_stride, false);
    } else {
      tile_f32<ROWS, 1>(a, a_stride, &start, 1, depth, b, c, c_stride, false);
    }
  }

  //! Scores of one query become e^(score - maximum), in place; returns by what the row's older output must be
  //! multiplied, e^(old maximum - maximum).
  static float softmax_row(const Head& h, int64_t query, int64_t first, int64_t count, float* s, float* maximum,
                           float* sums) {
    const float* key_bias = h.key_bias ? h.key_bias + first : nullptr;
    const float* score_bias = h.score_bias ? h.score_bias + query * h.score_bias_stride + first : nullptr;
    const Floats scale = splat(h.scale);
    const Floats nothing = splat(-__builtin_inff());
    Floats most = nothing;
    int64_t k = 0;
    for (; k + LANES <= count; k += LANES) {
      Floats v = load(s + k) * scale;
      if (key_bias) v += load(key_bias + k);
      if (score_bias) v += load(score_bias + k);
      store(s + k, v);
      most = larger(most, v);
    }
    if (k < count) {
      for (int64_t i = k; i < count; ++i) {
        float v = s[i] * h.scale;
        if (key_bias) v += key_bias[i];
        if (score_bias) v += score_bias[i];
        s[i] = v;
      }
      store_some(s + count, nothing, k + LANES - count);
      most = larger(most, load(s + k));
    }
    const float old = *maximum, seen = largest(most), now = old < seen ? seen : old;
    *maximum = now;
    const float shift = now == -__builtin_inff() ? 0.0f : now;
    Floats total{};
    for (k = 0; k < count; k += LANES) {
      const Floats p = exp_of_negative(load(s + k) - shift);
      store(s + k, p);
      total += p;
    }
    const float factor = old == shift ? 1.0f : exp_of_negative(splat(old - shift))[0];
    store(sums, load(sums) * factor + total);
    return factor;
  }

  static void run(const Head& h, int64_t begin, int64_t end, void* scratch) {
    const int64_t dim = h.head_dim, wide = padded(dim), rows = end - begin;
    const int64_t strips = (rows + ROWS - 1) / ROWS;
    float* queries = static_cast<float*>(scratch);  // [QUERIES][dim]
    float* outputs = queries + QUERIES * wide;      // [QUERIES][wide]
    float* scores = outputs + QUERIES * wide;       // [QUERIES][STRIDE]
    float* product = scores + QUERIES * STRIDE;     // [ROWS][WIDTH]
    float* sums = product + ROWS * WIDTH;           // [QUERIES][LANES]
    float* maxima = sums + QUERIES * LANES;         // [QUERIES]
    float* factors = maxima + QUERIES;              // [QUERIES]
    for (int64_t r = 0; r < strips * ROWS; ++r) {
      if (r < rows) {
        widen(h.query, h.dtype, (begin + r) * h.query_stride, dim, dim, queries + r * dim);
      } else {
        std::memset(queries + r * dim, 0, static_cast<size_t>(dim) * 4);
      }
      maxima[r] = -__builtin_inff();
      factors[r] = 0;
    }
    std::memset(outputs, 0, static_cast<size_t>(strips * ROWS * wide) * 4);
    std::memset(sums, 0, static_cast<size_t>(strips * ROWS * LANES) * 4);

    for (int64_t first = 0; first < h.key_tokens; first += KEYS) {
      const int64_t count = h.key_tokens - first < KEYS ? h.key_tokens - first : KEYS;
      const float* keys = static_cast<const float*>(h.packed_keys) + first * wide;
      for (int64_t k = 0; k < count; k += WIDTH)
        for (int64_t s = 0; s < strips; ++s)
          multiply(queries + s * ROWS * dim, dim, dim, keys + k * dim, panel_width(count - k),
                   scores + s * ROWS * STRIDE + k, STRIDE);
      for (int64_t r = 0; r < rows; ++r)
        factors[r] = softmax_row(h, begin + r, first, count, scores + r * STRIDE, maxima + r, sums + r * LANES);
      // The block's own sum is added to the running one in one rounding a block, which keeps the error of thousands of
      // keys at that of a few.
      const float* values = static_cast<const float*>(h.packed_values) + first * wide;
      for (int64_t c = 0; c < dim; c += WIDTH) {
        const int64_t width = panel_width(dim - c);
        for (int64_t s = 0; s < strips; ++s) {
          multiply(scores + s * ROWS * STRIDE, STRIDE, count, values + c * KEYS, width, product, WIDTH);
          for (int64_t r = 0; r < ROWS; ++r) {
            float* o = outputs + (s * ROWS + r) * wide + c;
            for (int64_t i = 0; i < width; i += LANES)
              store(o + i, load(o + i) * factors[s * ROWS + r] + load(product + r * WIDTH + i));
          }
        }
      }
    }

    for (int64_t r = 0; r < rows; ++r) write_row(h, begin + r, outputs + r * wide, sum(load(sums + r * LANES)));
  }

  static constexpr prax::kernels::AttentionKernel kernel{QUERIES, KEYS, packed_bytes, scratch_bytes, pack, run};
};

}  // namespace

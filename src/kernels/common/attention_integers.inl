// Attention on products of 16-bit integers, for int8 arithmetic where the ISA multiplies integers faster than floats.
// 13 bits of queries, keys and probabilities and 12 of values are more than bf16 has. Everything has internal linkage
// (see vector.inl).

#include <algorithm>
#include <cmath>

#include "kernels/common/attention_f32.inl"
#include "kernels/common/pairs.inl"

namespace {

constexpr float log2_e = 1.44269504088896341f;

//! By what values of at most `peak` are multiplied to become integers of at most `most`; denormal ones vanish.
inline Floats to_integers(Floats peak, float most) {
  const Floats tiny = splat(1e-30f);
  return select_less(tiny, peak, most / larger(peak, tiny), Floats{});
}

//! round(MOST 2^t) for t <= 0, nothing where t is not a number. The minimax polynomial of 2^f on [-1/2, 1/2] is off by
//! 3e-6.
template <int MOST>
inline Ints integer_power(Floats t) {
  const Floats magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  t = larger(splat(-100.0f), t);
  const Floats whole = t + magic, f = t - (whole - magic);
  Floats p = splat(MOST * 0.00958285f);
  p = p * f + MOST * 0.05590643f;
  p = p * f + MOST * 0.24024099f;
  p = p * f + MOST * 0.69312419f;
  p = p * f + static_cast<float>(MOST);
  return rounded((Floats)((Ints)p + ((Ints)whole << 23)));
}

//! 2^(whole - other) of whole numbers, whole <= other; 0 where that is less than a float can be.
inline float power_of_difference(float whole, float other) {
  const float difference = whole - other;
  if (!(difference >= -126.0f)) return 0;
  const uint32_t bits = static_cast<uint32_t>(static_cast<int32_t>(difference) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return power;
}

//! Tiles are ROWS queries by WIDTH keys (scores) or channels (outputs). Panels of K are [head_dim / 2][width][2] and of
//! V [KEYS / 2][width][2]; a last panel that needs one vector only has the width of one. Queries have a scale each,
//! keys one a block, values one a channel and block, and probabilities are relative to the largest of their row and
//! block.
template <int ROWS, int VECTORS>
struct AttentionIntegers {
  static_assert(VECTORS == 2);
  static constexpr int64_t WIDTH = VECTORS * LANES, KEYS = 128, STRIDE = KEYS + LANES;
  static constexpr int64_t QUERIES = (96 + ROWS - 1) / ROWS * ROWS;
  //! Sums of KEYS products of these fit 32 bits.
  static constexpr int MOST_PROBABILITY = 8191, MOST_VALUE = 2047;

  using Head = prax::kernels::AttentionHead;

  //! The running softmax of one query, in units of log2.
  struct Row {
    float scale;    //!< of the query's integers and of all scores
    float maximum;  //!< a whole number, the next to the largest score so far
    float total;    //!< of 2^(score - maximum), in units of 1 / MOST_PROBABILITY
    float factor;   //!< by what the row's older output must be multiplied
    float weight;   //!< by what this block's products must be
  };

  static int64_t padded(int64_t head_dim) { return AttentionF32<ROWS, VECTORS>::padded(head_dim); }
  static int64_t panel_width(int64_t remaining) { return AttentionF32<ROWS, VECTORS>::panel_width(remaining); }

  //! Products of this size fit 32 bits when head_dim of them are added.
  static float most_channel(int64_t head_dim) {
    return std::floor(std::sqrt(2147483647.0f / static_cast<float>(std::max<int64_t>(head_dim, 64))));
  }

  //! Integers, then scales, of one block.
  static int64_t block_bytes(int64_t head_dim) {
    return KEYS * padded(head_dim) * 2 + padded(head_dim) * 4;
  }
  static int64_t packed_bytes(int64_t key_tokens, int64_t head_dim) {
    return (key_tokens + KEYS - 1) / KEYS * block_bytes(head_dim);
  }
  struct Block {
    int16_t* integers;
    float* scales;
  };
  static Block block_at(void* packed, int64_t block, int64_t head_dim) {
    char* start = static_cast<char*>(packed) + block * block_bytes(head_dim);
    return {reinterpret_cast<int16_t*>(start), reinterpret_cast<float*>(start + KEYS * padded(head_dim) * 2)};
  }

  //! The largest magnitude of some values, or not a number as soon as one is not finite.
  struct Peak {
    Floats largest_ones{}, nothing{};

    void see(Floats v) {
      largest_ones = larger(largest_ones, magnitude(v));
      nothing += v * 0.0f;
    }
    float finite() const { return largest(largest_ones); }  //!< of those that are
    float value() const { return finite() + sum(nothing); }
  };

  static void write_integers(const float* from, int64_t count, Floats factor, int16_t* out) {
    for (int64_t i = 0; i < count; i += LANES) store_integers(out + i, rounded(load(from + i) * factor));
  }

  //! Returns the scale of the block's keys.
  static float pack_keys(const Head& h, int64_t first, int64_t count, int16_t* to) {
    const int64_t wide = padded(h.head_dim);
    const float most = most_channel(h.head_dim);
    float row[prax::kernels::most_integer_channels];
    int16_t integers[prax::kernels::most_integer_channels];
    const auto widen_key = [&](int64_t k) {
      widen(h.key, h.dtype, (first + k) * h.key_stride, h.head_dim, wide, row);
    };
    Peak peak;
    for (int64_t k = 0; k < count; ++k) {
      widen_key(k);
      for (int64_t d = 0; d < wide; d += LANES) peak.see(load(row + d));
    }
    const Floats factor = to_integers(splat(peak.finite()), most);
    for (int64_t k = 0; k < count; ++k) {
      widen_key(k);
      write_integers(row, wide, factor, integers);
      const int64_t panel = k / WIDTH * WIDTH, width = panel_width(count - panel);
      for (int64_t d = 0; d < wide; d += 2)
        std::memcpy(to + panel * wide + d * width + (k - panel) * 2, integers + d, 4);
    }
    const int64_t panel = (count - 1) / WIDTH * WIDTH, width = panel_width(count - panel);
    for (int64_t k = count; k < panel + width; ++k)
      for (int64_t d = 0; d < wide; d += 2) std::memset(to + panel * wide + d * width + (k - panel) * 2, 0, 4);
    return peak.value() / most;
  }

  //! Makes a scale for each channel, too.
  static void pack_values(const Head& h, int64_t first, int64_t count, int16_t* to, float* scales) {
    float rows[KEYS][WIDTH];
    for (int64_t c = 0; c < h.head_dim; c += WIDTH) {
      const int64_t width = panel_width(h.head_dim - c), channels = std::min(h.head_dim - c, width);
      for (int64_t k = 0; k < count; ++k)
        widen(h.value, h.dtype, (first + k) * h.value_stride + c, channels, width, rows[k]);
      if (count % 2) std::fill_n(rows[count], WIDTH, 0.0f);
      for (int64_t i = 0; i < width; i += LANES) {
        Peak peak;
        for (int64_t k = 0; k < count; ++k) peak.see(load(rows[k] + i));
        store(scales + c + i, peak.largest_ones / MOST_VALUE + peak.nothing);
        const Floats inverse = to_integers(peak.largest_ones, MOST_VALUE);
        for (int64_t k = 0; k < count; k += 2) {
          const Ints even = rounded(load(rows[k] + i) * inverse), odd = rounded(load(rows[k + 1] + i) * inverse);
          const Ints pair = (even & 0xffff) | (Ints)((Words)odd << 16);
          std::memcpy(to + c * KEYS + k * width + i * 2, &pair, sizeof pair);
        }
      }
    }
  }

  static void pack(const Head& h, int64_t block) {
    const int64_t first = block * KEYS, count = std::min(KEYS, h.key_tokens - first);
    const Block keys = block_at(h.packed_keys, block, h.head_dim);
    *keys.scales = pack_keys(h, first, count, keys.integers);
    const Block values = block_at(h.packed_values, block, h.head_dim);
    pack_values(h, first, count, values.integers, values.scales);
  }

  //! Kept out of its callers, in which GCC would not keep the sums in registers.
  [[gnu::noinline]] static void multiply(const int16_t* a, int64_t a_stride, int64_t depth, const int16_t* b,
                                         int64_t width, int32_t* c, int64_t c_stride) {
    if (width == WIDTH) {
      tile_integers<ROWS, VECTORS, int16_t, int16_t>(a, a_stride, depth, b, c, c_stride, false);
    } else {
      tile_integers<ROWS, 1, int16_t, int16_t>(a, a_stride, depth, b, c, c_stride, false);
    }
  }

  static Floats products_at(const int32_t* s) {
    Ints v;
    std::memcpy(&v, s, sizeof v);
    return __builtin_convertvector(v, Floats);
  }

  //! Products at `s` become scores, in place; returns the largest.
  static float bias_row(const float* key_bias, const float* score_bias, int64_t count, float factor, int32_t* s) {
    auto* scores = reinterpret_cast<float*>(s);
    const Floats least = splat(-__builtin_inff());
    Floats most = least;
    for_vectors(
        count,
        [&](int64_t k) {
          Floats v = products_at(s + k) * factor;
          if (key_bias) v += load(key_bias + k) * log2_e;
          if (score_bias) v += load(score_bias + k) * log2_e;
          store(scores + k, v);
          most = larger(most, v);
        },
        [&](int64_t k, int64_t n) {
          Floats v = products_at(s + k) * factor;
          if (key_bias) v += load_some(key_bias + k, n) * log2_e;
          if (score_bias) v += load_some(score_bias + k, n) * log2_e;
          store(scores + k, v);
          store_some(scores + k + n, least, LANES - n);
          most = larger(most, load(scores + k));
        });
    return largest(most);
  }

  //! The largest of `count` products.
  static int32_t largest_product(const int32_t* s, int64_t count) {
    int32_t most = s[0];
    Ints lanes = most - Ints{};
    int64_t k = 0;
    for (; k + LANES <= count; k += LANES) {
      Ints v;
      std::memcpy(&v, s + k, sizeof v);
      lanes = v > lanes ? v : lanes;
    }
    for (int i = 0; i < LANES; ++i) most = std::max(most, lanes[i]);
    for (; k < count; ++k) most = std::max(most, s[k]);
    return most;
  }

  //! Scores become probabilities as 16-bit integers; returns the sum of these. What `score` says of the lanes behind
  //! the last key counts for nothing.
  template <typename Score>
  static float probabilities_of(int64_t count, float base, int16_t* out, Score&& score) {
    const auto at = [&](int64_t k) { return integer_power<MOST_PROBABILITY>(score(k) - base); };
    Ints sums{};
    int64_t k = 0;
    for (; k + WIDTH <= count; k += WIDTH) {
      const Ints first = at(k), second = at(k + LANES);
      sums += first + second;
      store_integers(out + k, first, second);
    }
    for (; k < count; k += LANES) {
      Ints p = at(k);
      for (int64_t i = count - k; i < LANES; ++i) p[i] = 0;
      sums += p;
      store_integers(out + k, p);
    }
    int32_t total = 0;
    for (int i = 0; i < LANES; ++i) total += sums[i];
    return static_cast<float>(total);
  }

  //! Products at `s` become probabilities as 16-bit integers, at the same place.
  static void softmax_row(const Head& h, int64_t query, int64_t first, int64_t count, float key_scale, int32_t* s,
                          Row& row) {
    const float* key_bias = h.key_bias ? h.key_bias + first : nullptr;
    const float* score_bias = h.score_bias ? h.score_bias + query * h.score_bias_stride + first : nullptr;
    const float factor = row.scale * key_scale;
    const bool plain = !key_bias && !score_bias && factor >= 0;
    // The next whole number: powers of two between such change no bits and cost nothing.
    const float seen = std::ceil(plain ? static_cast<float>(largest_product(s, count)) * factor
                                       : bias_row(key_bias, score_bias, count, factor, s));
    const float old = row.maximum, now = old < seen ? seen : old;
    const float base = seen == -__builtin_inff() ? 0.0f : seen;
    auto* out = reinterpret_cast<int16_t*>(s);
    const float total =
        plain ? probabilities_of(count, base, out, [&](int64_t k) { return products_at(s + k) * factor; })
              : probabilities_of(count, base, out, [&](int64_t k) { return load(reinterpret_cast<float*>(s) + k); });
    row.maximum = now;
    row.factor = power_of_difference(old, now);
    row.weight = power_of_difference(seen, now);
    row.total = row.total * row.factor + row.weight * total + key_scale * 0.0f;
  }

  //! The parts of run()'s memory.
  struct Scratch {
    int16_t* queries;  //!< [QUERIES][padded]
    float* outputs;    //!< [QUERIES][padded]
    int32_t* scores;   //!< [ROWS][STRIDE]
    int32_t* product;  //!< [ROWS][WIDTH]
    Row* rows;         //!< [QUERIES]
    float* query;      //!< [padded]

    Scratch(void* memory, int64_t wide) {
      queries = static_cast<int16_t*>(memory);
      outputs = reinterpret_cast<float*>(queries + QUERIES * wide);
      scores = reinterpret_cast<int32_t*>(outputs + QUERIES * wide);
      product = scores + ROWS * STRIDE;
      query = reinterpret_cast<float*>(product + ROWS * WIDTH);
      rows = reinterpret_cast<Row*>(query + wide);
    }
  };
  static int64_t scratch_bytes(int64_t head_dim) {
    const int64_t wide = padded(head_dim);
    return QUERIES * (wide * 6 + static_cast<int64_t>(sizeof(Row))) + (ROWS * (STRIDE + WIDTH) + wide) * 4;
  }

  //! One block of keys and values.
  static void fold(const Head& h, int64_t begin, int64_t rows, int64_t block, const Scratch& in) {
    const int64_t dim = h.head_dim, wide = padded(dim);
    const int64_t first = block * KEYS, count = std::min(KEYS, h.key_tokens - first);
    const Block keys = block_at(h.packed_keys, block, dim), values = block_at(h.packed_values, block, dim);
    // Strip by strip: scores and probabilities stay in L1.
    for (int64_t strip = 0; strip < rows; strip += ROWS) {
      for (int64_t k = 0; k < count; k += WIDTH)
        multiply(in.queries + strip * wide, wide, wide, keys.integers + k * wide, panel_width(count - k),
                 in.scores + k, STRIDE);
      for (int64_t r = 0; r < std::min<int64_t>(ROWS, rows - strip); ++r)
        softmax_row(h, begin + strip + r, first, count, *keys.scales, in.scores + r * STRIDE, in.rows[strip + r]);
      const auto* probabilities = reinterpret_cast<const int16_t*>(in.scores);
      for (int64_t c = 0; c < dim; c += WIDTH) {
        const int64_t width = panel_width(dim - c);
        multiply(probabilities, STRIDE * 2, (count + 1) / 2 * 2, values.integers + c * KEYS, width, in.product, WIDTH);
        for (int64_t r = 0; r < ROWS; ++r) {
          const Floats factor = splat(in.rows[strip + r].factor), weight = splat(in.rows[strip + r].weight);
          float* o = in.outputs + (strip + r) * wide + c;
          for (int64_t i = 0; i < width; i += LANES) {
            const Floats added = products_at(in.product + r * WIDTH + i) * (load(values.scales + c + i) * weight);
            store(o + i, load(o + i) * factor + added);
          }
        }
      }
    }
  }

  static void run(const Head& h, int64_t begin, int64_t end, void* scratch) {
    const int64_t dim = h.head_dim, wide = padded(dim), rows = end - begin;
    const int64_t all_rows = (rows + ROWS - 1) / ROWS * ROWS;
    const Scratch in(scratch, wide);
    std::memset(in.queries + rows * wide, 0, static_cast<size_t>((all_rows - rows) * wide) * 2);
    std::memset(in.outputs, 0, static_cast<size_t>(all_rows * wide) * 4);
    for (int64_t r = 0; r < all_rows; ++r) in.rows[r] = {0, -__builtin_inff(), 0, 0, 0};
    for (int64_t r = 0; r < rows; ++r) {
      widen(h.query, h.dtype, (begin + r) * h.query_stride, dim, wide, in.query);
      Peak peak;
      for (int64_t d = 0; d < wide; d += LANES) peak.see(load(in.query + d));
      write_integers(in.query, wide, to_integers(splat(peak.finite()), most_channel(dim)), in.queries + r * wide);
      const float scale = peak.value() / most_channel(dim);
      in.rows[r].scale = scale * h.scale * log2_e;
      in.rows[r].total = scale * 0.0f;
    }
    for (int64_t block = 0; block * KEYS < h.key_tokens; ++block) fold(h, begin, rows, block, in);
    for (int64_t r = 0; r < rows; ++r) write_row(h, begin + r, in.outputs + r * wide, in.rows[r].total);
  }

  static constexpr prax::kernels::AttentionKernel kernel{QUERIES, KEYS, packed_bytes, scratch_bytes, pack, run};
};

}  // namespace

// What attention on bf16 products (VDPBF16PS or AMX tiles) shares: packing, the softmax of a block of scores, the
// output. Needs AVX-512 with BF16. Everything has internal linkage (see vector.inl).

#include <cstdint>
#include <cstring>

#include "kernels/attention_kernel.h"
#include "kernels/common/transpose.inl"

namespace {

using prax::kernels::AttentionHead;

constexpr int64_t PANEL = 32;  // columns of a packed panel

inline int64_t padded_channels(int64_t head_dim) { return (head_dim + PANEL - 1) / PANEL * PANEL; }

inline __mmask32 first_words(int64_t count) { return count >= 32 ? ~__mmask32{0} : (__mmask32{1} << count) - 1; }

//! Keys [first, first + count) into panels of 32 keys, [head_dim / 2][32 keys][2]: K transposed, pairs of channels side
//! by side. Missing keys and channels are zero.
inline void pack_keys(const AttentionHead& h, int64_t first, int64_t count, uint16_t* out) {
  const int64_t wide = padded_channels(h.head_dim);
  const uint16_t* keys = static_cast<const uint16_t*>(h.key);
  for (int64_t k = 0; k < (count + PANEL - 1) / PANEL * PANEL; k += 16) {
    uint16_t* half = out + k / PANEL * PANEL * wide + k % PANEL * 2;
    for (int64_t c = 0; c < wide; c += 32) {
      __m512i rows[16];
      const __mmask32 channels = first_words(h.head_dim - c);
      for (int64_t i = 0; i < 16; ++i)
        rows[i] = k + i < count ? _mm512_maskz_loadu_epi16(channels, keys + (first + k + i) * h.key_stride + c)
                                : _mm512_setzero_si512();
      transpose(rows);
      for (int64_t i = 0; i < 16; ++i) _mm512_storeu_si512(half + (c / 2 + i) * 2 * PANEL, rows[i]);
    }
  }
}

//! Values [first, first + count) into panels of 32 channels, [rows / 2][32 channels][2]: pairs of keys side by side.
//! `rows` is a multiple of 32; missing keys and channels are zero.
inline void pack_values(const AttentionHead& h, int64_t first, int64_t count, int64_t rows, uint16_t* out) {
  const uint16_t* values = static_cast<const uint16_t*>(h.value);
  for (int64_t c = 0; c < h.head_dim; c += PANEL) {
    uint16_t* panel = out + c * rows;
    const __mmask32 channels = first_words(h.head_dim - c);
    const auto row = [&](int64_t k) {
      return k < count ? _mm512_maskz_loadu_epi16(channels, values + (first + k) * h.value_stride + c)
                       : _mm512_setzero_si512();
    };
    for (int64_t k = 0; k < (count + 31) / 32 * 32; k += 2, panel += 2 * PANEL) {
      const __m512i even = row(k), odd = row(k + 1);
      const auto pairs = [](__m256i low, __m256i high) {
        return _mm512_or_si512(_mm512_cvtepu16_epi32(low), _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
      };
      _mm512_storeu_si512(panel, pairs(_mm512_castsi512_si256(even), _mm512_castsi512_si256(odd)));
      _mm512_storeu_si512(panel + PANEL, pairs(_mm512_extracti64x4_epi64(even, 1), _mm512_extracti64x4_epi64(odd, 1)));
    }
  }
}

//! `rows` queries, `channels` apart, the last ones zero.
inline void copy_queries(const AttentionHead& h, int64_t begin, int64_t end, int64_t rows, uint16_t* out) {
  const int64_t wide = padded_channels(h.head_dim);
  const uint16_t* queries = static_cast<const uint16_t*>(h.query);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < wide; c += 32)
      _mm512_storeu_si512(out + r * wide + c, begin + r < end
                                                  ? _mm512_maskz_loadu_epi16(first_words(h.head_dim - c),
                                                                             queries + (begin + r) * h.query_stride + c)
                                                  : _mm512_setzero_si512());
}

//! 2^t for t of any size: VREDUCEPS leaves f = t - floor(t), VSCALEFPS multiplies by 2^floor(t), and between them
//! stands the minimax polynomial of 2^f on [0, 1]. Its relative error of 7.5e-5 is small beside the 2^-9 of the
//! rounding to bf16 that follows.
inline __m512 power_of_two(__m512 t) {
  const __m512 f = _mm512_reduce_ps(t, 0x09);
  __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(0.0780245227f), f, _mm512_set1_ps(0.226067155f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.695833541f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.999925219f));
  return _mm512_scalef_ps(p, t);
}

//! sums + the 32 rounded probabilities. Dividing by the sum of what V was really multiplied with keeps a row that one
//! key dominates exact.
inline __m512 add_probabilities(__m512 sums, __m512bh p) {
  return _mm512_dpbf16_ps(sums, p, (__m512bh)_mm512_set1_epi16(0x3f80));
}

constexpr float log2_e = 1.44269504088896341f;

//! The running softmax of one row of scores t, in units of log2: sums of 2^(t - maximum). `maximum` is a whole number
//! near the largest score so far: it need only keep the powers within the range of a float (and of bf16, which is the
//! same), and being whole it never changes how they round.
struct RowState {
  __m512 sums;
  float maximum;
  float factor;  //!< by what the row's older output must still be multiplied
};

inline void reset(RowState& row) {
  row.sums = _mm512_setzero_ps();
  row.maximum = -__builtin_inff();
  row.factor = 1;
}

//! One row of one block: scores at `s` become probabilities (bf16) at the same place. Padding behind `count`, to a
//! multiple of 32, becomes zero. Returns true when row.factor is to be applied.
inline bool softmax_row(const AttentionHead& h, int64_t query, int64_t first, int64_t count, float* s, RowState& row) {
  constexpr float slack = 8;  // how far scores may pass the maximum before it is worth moving
  const float* key_bias = h.key_bias ? h.key_bias + first : nullptr;
  const float* score_bias = h.score_bias ? h.score_bias + query * h.score_bias_stride + first : nullptr;
  const bool plain = !key_bias && !score_bias && h.scale > 0;
  const __m512 nothing = _mm512_set1_ps(-__builtin_inff()), scale = _mm512_set1_ps(h.scale);
  __m512 most = nothing;
  for (int64_t k = 0; k < (count + 31) / 32 * 32; k += 16) {
    const __mmask16 valid = static_cast<__mmask16>(k >= count ? 0 : first_words(count - k));
    __m512 v = _mm512_loadu_ps(s + k);
    if (!plain) {
      v = _mm512_mul_ps(v, scale);
      if (key_bias) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(valid, key_bias + k));
      if (score_bias) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(valid, score_bias + k));
    }
    v = _mm512_mask_mov_ps(nothing, valid, v);
    _mm512_storeu_ps(s + k, v);
    most = _mm512_max_ps(most, v);
  }
  const float unit = plain ? h.scale * log2_e : log2_e;
  const float seen = _mm512_reduce_max_ps(most) * unit;
  bool rescale = false;
  if (!(seen <= row.maximum + slack)) {
    const float now = __builtin_ceilf(seen);
    if (row.maximum > -__builtin_inff()) {
      row.factor *= _mm512_cvtss_f32(_mm512_scalef_ps(_mm512_set1_ps(1), _mm512_set1_ps(row.maximum - now)));
      row.sums = _mm512_scalef_ps(row.sums, _mm512_set1_ps(row.maximum - now));
      rescale = true;
    }
    row.maximum = now;
  }
  const float shift = row.maximum > -__builtin_inff() ? -row.maximum : 0;
  uint16_t* out = reinterpret_cast<uint16_t*>(s);
  for (int64_t k = 0; k < count; k += 32) {
    const __m512 units = _mm512_set1_ps(unit), shifts = _mm512_set1_ps(shift);
    const __m512 low = power_of_two(_mm512_fmadd_ps(_mm512_loadu_ps(s + k), units, shifts));
    const __m512 high = power_of_two(_mm512_fmadd_ps(_mm512_loadu_ps(s + k + 16), units, shifts));
    const __m512bh p = _mm512_cvtne2ps_pbh(high, low);
    row.sums = add_probabilities(row.sums, p);
    _mm512_storeu_si512(out + k, (__m512i)p);
  }
  return rescale;
}

//! The same for a whole block of COUNT scores without biases that stays within reach of the maximum so far, in one
//! pass: the powers' sum tells whether it does. Returns false, with nothing changed, when not.
template <int COUNT>
inline bool softmax_row_quickly(float unit, float* s, RowState& row) {
  const __m512 units = _mm512_set1_ps(unit), shift = _mm512_set1_ps(-row.maximum);
  __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
  __m512bh packed[COUNT / 32];
#pragma GCC unroll 16
  for (int i = 0; i < COUNT / 32; ++i) {
    const __m512 low = power_of_two(_mm512_fmadd_ps(_mm512_loadu_ps(s + 32 * i), units, shift));
    const __m512 high = power_of_two(_mm512_fmadd_ps(_mm512_loadu_ps(s + 32 * i + 16), units, shift));
    packed[i] = _mm512_cvtne2ps_pbh(high, low);
    __m512& sums = i % 2 ? odd : even;
    sums = add_probabilities(sums, packed[i]);
  }
  const __m512 total = _mm512_add_ps(even, odd);
  constexpr float reach = 1 << 30;  // P, the sums and O stay far from overflow
  if (_mm512_cmp_ps_mask(total, _mm512_set1_ps(reach), _CMP_NLE_UQ)) return false;
#pragma GCC unroll 16
  for (int i = 0; i < COUNT / 32; ++i) _mm512_storeu_si512(reinterpret_cast<uint16_t*>(s) + 32 * i, (__m512i)packed[i]);
  row.sums = _mm512_add_ps(row.sums, total);
  return true;
}

//! The softmax of `rows` rows of a block of KEYS scores, `stride` apart; true when factors are to be applied.
template <int KEYS>
inline bool softmax_rows(const AttentionHead& h, int64_t query, int64_t rows, int64_t first, int64_t count, float* s,
                         int64_t stride, RowState* state) {
  const bool quick = !h.key_bias && !h.score_bias && h.scale > 0 && first > 0 && count == KEYS;
  const float unit = h.scale * log2_e;
  bool rescale = false;
  for (int64_t r = 0; r < rows; ++r, s += stride)
    if (!quick || !softmax_row_quickly<KEYS>(unit, s, state[r]))
      rescale |= softmax_row(h, query + r, first, count, s, state[r]);
  return rescale;
}

//! Multiplies the outputs of rows by their factors.
inline void apply_factors(RowState* rows, int64_t count, int64_t wide, float* outputs) {
  for (int64_t r = 0; r < count; ++r) {
    if (rows[r].factor == 1) continue;
    const __m512 factor = _mm512_set1_ps(rows[r].factor);
    for (int64_t c = 0; c < wide; c += 16)
      _mm512_storeu_ps(outputs + r * wide + c, _mm512_mul_ps(_mm512_loadu_ps(outputs + r * wide + c), factor));
    rows[r].factor = 1;
  }
}

//! out = O / sum, rounded to bf16.
inline void write_row(const AttentionHead& h, int64_t query, const float* o, const RowState& row) {
  const float sum = _mm512_reduce_add_ps(row.sums);
  const __m512 inverse = _mm512_set1_ps(sum > 0 ? 1 / sum : sum);  // 0 stays 0, NaN stays NaN
  uint16_t* out = static_cast<uint16_t*>(h.out) + query * h.out_stride;
  for (int64_t c = 0; c < h.head_dim; c += 32) {
    const __m512 low = _mm512_mul_ps(_mm512_loadu_ps(o + c), inverse);
    const __m512 high = _mm512_mul_ps(_mm512_loadu_ps(o + c + 16), inverse);
    _mm512_mask_storeu_epi16(out + c, first_words(h.head_dim - c), (__m512i)_mm512_cvtne2ps_pbh(high, low));
  }
}

}  // namespace

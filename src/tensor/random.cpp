#include "tensor/random.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <numbers>
#include <sstream>

#include "base/error.h"
#include "tensor/parallel.h"

namespace prax {

namespace {

constexpr int middle = 397;
constexpr uint32_t upper_bit = 0x80000000u, lower_bits = 0x7fffffffu, twist_matrix = 0x9908b0dfu;

constexpr uint32_t twisted(uint32_t u, uint32_t v) {
  return (((u & upper_bit) | (v & lower_bits)) >> 1) ^ ((0u - (v & 1u)) & twist_matrix);
}

constexpr uint32_t tempered(uint32_t y) {
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

// torch makes pairs of normal numbers of f32, eight at a time, from 16 uniform ones (Box and Muller) with Cephes'
// logarithm, sine and cosine (logf.c, sinf.c). GCC contracts products and sums of that code to fused multiply-adds;
// they are written out here, so that every processor and compiler gives the same bits.

constexpr int block = 16;

#if defined(__GNUC__)
#define PRAX_INLINE inline __attribute__((always_inline))
#else
#define PRAX_INLINE inline
#endif

PRAX_INLINE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

//! ln(x) of a normal x: x = m 2^e with m in [sqrt(1/2), sqrt(2)), ln(m) by a polynomial in m - 1.
PRAX_INLINE float cephes_log(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  float e = static_cast<float>(static_cast<int32_t>(bits >> 23) - 127) + 1.0f;
  const float m = std::bit_cast<float>((bits & 0x807fffffu) | 0x3f000000u);
  const bool small = m < 0.707106781186547524f;
  e -= small ? 1.0f : 0.0f;
  const float t = (m - 1.0f) + (small ? m : 0.0f);
  const float z = t * t;
  float y = fma(7.0376836292E-2f, t, -1.1514610310E-1f);
  y = fma(y, t, 1.1676998740E-1f);
  y = fma(y, t, -1.2420140846E-1f);
  y = fma(y, t, 1.4249322787E-1f);
  y = fma(y, t, -1.6668057665E-1f);
  y = fma(y, t, 2.0000714765E-1f);
  y = fma(y, t, -2.4999993993E-1f);
  y = fma(y, t, 3.3333331174E-1f);
  y = y * t;
  y = fma(y, z, e * -2.12194440e-4f);
  y = fma(-0.5f, z, y);
  return fma(e, 0.693359375f, t + y);
}

//! sin(x) and cos(x) of 0 <= x < 8192: the remainder by multiples of pi/4 in three parts, then a polynomial each.
PRAX_INLINE void cephes_sincos(float x, float& sine, float& cosine) {
  const int32_t octant = (static_cast<int32_t>(x * 1.27323954473516f) + 1) & ~1;
  const float n = static_cast<float>(octant);
  float r = fma(n, -0.78515625f, x);
  r = fma(n, -2.4187564849853515625e-4f, r);
  r = fma(n, -3.77489497744594108e-8f, r);
  const float z = r * r;
  float c = fma(2.443315711809948E-005f, z, -1.388731625493765E-003f);
  c = fma(c, z, 4.166664568298827E-002f);
  c = c * z;
  c = fma(c, z, z * -0.5f) + 1.0f;
  float s = fma(-1.9515295891E-4f, z, 8.3321608736E-3f);
  s = fma(s, z, -1.6666654611E-1f);
  s = s * z;
  s = fma(s, r, r);
  const bool swap = (octant & 2) != 0;
  const uint32_t sine_sign = static_cast<uint32_t>(octant & 4) << 29;
  const uint32_t cosine_sign = static_cast<uint32_t>(~(octant - 2) & 4) << 29;
  sine = std::bit_cast<float>(std::bit_cast<uint32_t>(swap ? c : s) ^ sine_sign);
  cosine = std::bit_cast<float>(std::bit_cast<uint32_t>(swap ? s : c) ^ cosine_sign);
}

//! Blocks of 8 + 8 uniform numbers to 8 + 8 normal ones, in place. Goes through arrays long enough for compilers to
//! see vectors in the loop.
PRAX_INLINE void normal_blocks_body(float* data, int64_t blocks) {
  constexpr int half = block / 2;
  constexpr int64_t blocks_at_once = 32;
  constexpr float two_pi = static_cast<float>(2.0 * std::numbers::pi);
  float first[blocks_at_once * half], second[blocks_at_once * half];
  while (blocks > 0) {
    const int64_t now = std::min(blocks, blocks_at_once);
    for (int64_t i = 0; i < now; ++i) {
      std::copy_n(data + i * block, half, first + i * half);
      std::copy_n(data + i * block + half, half, second + i * half);
    }
    const int pairs = static_cast<int>(now) * half;
    for (int i = 0; i < pairs; ++i) {
      const float radius = std::sqrt(-2.0f * cephes_log(1.0f - first[i]));
      float sine, cosine;
      cephes_sincos(two_pi * second[i], sine, cosine);
      first[i] = radius * cosine + 0.0f;  // the mean; makes a zero positive
      second[i] = radius * sine + 0.0f;
    }
    for (int64_t i = 0; i < now; ++i) {
      std::copy_n(first + i * half, half, data + i * block);
      std::copy_n(second + i * half, half, data + i * block + half);
    }
    data += now * block;
    blocks -= now;
  }
}

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx2,fma"))) void normal_blocks_avx2(float* data, int64_t blocks) {
  normal_blocks_body(data, blocks);
}
#endif

void normal_blocks(float* data, int64_t blocks) {
#if defined(__x86_64__) && defined(__GNUC__)
  static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2) return normal_blocks_avx2(data, blocks);
#endif
  normal_blocks_body(data, blocks);
}

void parallel_normal_blocks(float* data, int64_t blocks) {
  constexpr int64_t grain = 4096;
  parallel_for(blocks, grain, [&](int64_t begin, int64_t end) { normal_blocks(data + begin * block, end - begin); });
}

template <typename T>
void round_values(const float* in, T* out, int64_t count) {
  constexpr int64_t grain = 1 << 16;
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = T(in[i]);
  });
}

int64_t checked_count(const Shape& shape, DType dtype) {
  if (std::any_of(shape.begin(), shape.end(), [](int64_t extent) { return extent < 0; }))
    throw Error(ErrorKind::internal, "random numbers were asked for in the shape " + to_string(shape));
  if (dtype != DType::f32 && dtype != DType::bf16 && dtype != DType::f16)
    throw Error(ErrorKind::internal, "there are no random numbers of " + std::string(name_of(dtype)));
  return element_count(shape);
}

constexpr char state_tag[] = "mt19937.1";

[[noreturn]] void bad_state(const std::string& what) {
  throw Error(ErrorKind::input, "the saved state of the random numbers is damaged: " + what,
              "begin the run anew, without the saved state");
}

//! The next word of the text as a number in base 16; it must have exactly `digits` digits.
uint64_t read_hex(std::istream& in, size_t digits) {
  std::string word;
  uint64_t value = 0;
  if (!(in >> word)) bad_state("it is cut short");
  const char* end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, value, 16);
  if (word.size() != digits || error != std::errc() || stop != end)
    bad_state("\"" + word.substr(0, 32) + "\" is not a hexadecimal number of " + std::to_string(digits) + " digits");
  return value;
}

void write_hex(std::string& text, uint64_t value, int digits) {
  constexpr char digit[] = "0123456789abcdef";
  text += ' ';
  for (int i = digits - 1; i >= 0; --i) text += digit[(value >> (4 * i)) & 15];
}

}  // namespace

Generator::Generator(uint64_t seed) {
  state_[0] = static_cast<uint32_t>(seed);
  for (uint32_t j = 1; j < words; ++j) state_[j] = 1812433253u * (state_[j - 1] ^ (state_[j - 1] >> 30)) + j;
}

void Generator::refill() {
  uint32_t* p = state_.data();
  for (int i = 0; i < words - middle; ++i) p[i] = p[i + middle] ^ twisted(p[i], p[i + 1]);
  for (int i = words - middle; i < words - 1; ++i) p[i] = p[i + middle - words] ^ twisted(p[i], p[i + 1]);
  p[words - 1] = p[middle - 1] ^ twisted(p[words - 1], p[0]);
  position_ = 0;
}

uint32_t Generator::random() {
  if (position_ == words) refill();
  return tempered(state_[position_++]);
}

uint64_t Generator::random64() {
  const uint64_t high = random();
  return (high << 32) | random();
}

void Generator::uniform(float* out, int64_t count) {
  while (count > 0) {
    if (position_ == words) refill();
    const int take = static_cast<int>(std::min<int64_t>(count, words - position_));
    const uint32_t* from = state_.data() + position_;
    for (int i = 0; i < take; ++i)
      out[i] = static_cast<float>(static_cast<int32_t>(tempered(from[i]) & 0xffffffu)) * 0x1p-24f;
    position_ += take;
    out += take;
    count -= take;
  }
}

double Generator::normal() {
  if (has_next_normal_) {
    has_next_normal_ = false;
    return next_normal_;
  }
  constexpr uint64_t mask = (uint64_t{1} << 53) - 1;
  const double u1 = static_cast<double>(random64() & mask) * 0x1p-53;
  const double u2 = static_cast<double>(random64() & mask) * 0x1p-53;
  const double radius = std::sqrt(-2.0 * std::log1p(-u2));
  const double theta = 2.0 * std::numbers::pi * u1;
  next_normal_ = radius * std::sin(theta);
  has_next_normal_ = true;
  return radius * std::cos(theta);
}

Tensor Generator::rand(const Shape& shape) {
  const int64_t count = checked_count(shape, DType::f32);
  Tensor out = Tensor::empty(shape);
  uniform(out.data<float>(), count);
  return out;
}

Tensor Generator::randn(const Shape& shape, DType dtype) {
  const int64_t count = checked_count(shape, dtype);
  if (count < block) {
    Tensor values = Tensor::empty(shape);
    for (float& v : values.span<float>()) v = static_cast<float>(normal() + 0.0);
    return values.to(dtype);
  }
  Tensor out = Tensor::empty(shape, dtype);
  const int64_t whole = count / block * block;
  float last[block];  // where blocks do not fit evenly, the last 16 values are drawn anew
  if (dtype == DType::f32) {
    float* data = out.data<float>();
    uniform(data, count);
    parallel_normal_blocks(data, whole / block);
    if (whole < count) {
      uniform(last, block);
      normal_blocks(last, 1);
      std::copy(last, last + block, data + count - block);
    }
    return out;
  }
  // 16-bit types are drawn in f32 and rounded; unlike f32 they draw nothing for the incomplete block itself.
  const auto fill = [&](auto* data) {
    constexpr int64_t piece = int64_t{1} << 20;
    Tensor wide = Tensor::empty({std::min(whole, piece)});
    float* values = wide.data<float>();
    for (int64_t begin = 0; begin < whole; begin += piece) {
      const int64_t n = std::min(piece, whole - begin);
      uniform(values, n);
      parallel_normal_blocks(values, n / block);
      round_values(values, data + begin, n);
    }
    if (whole < count) {
      uniform(last, block);
      normal_blocks(last, 1);
      round_values(last, data + count - block, block);
    }
  };
  if (dtype == DType::bf16) {
    fill(out.data<bfloat16>());
  } else {
    fill(out.data<float16>());
  }
  return out;
}

std::string Generator::state() const {
  std::string text = state_tag;
  text.reserve(6000);
  write_hex(text, static_cast<uint64_t>(position_), 4);
  write_hex(text, has_next_normal_ ? 1 : 0, 1);
  write_hex(text, has_next_normal_ ? std::bit_cast<uint64_t>(next_normal_) : 0, 16);
  for (uint32_t word : state_) write_hex(text, word, 8);
  return text;
}

Generator Generator::from_state(const std::string& text) {
  std::istringstream in(text);
  std::string tag;
  if (!(in >> tag) || tag != state_tag) bad_state("it does not begin with \"" + std::string(state_tag) + "\"");
  Generator generator;
  const uint64_t position = read_hex(in, 4);
  if (position > words) bad_state("its position is beyond the last of " + std::to_string(words) + " words");
  generator.position_ = static_cast<int>(position);
  const uint64_t has_next = read_hex(in, 1);
  if (has_next > 1) bad_state("its flag is neither 0 nor 1");
  generator.has_next_normal_ = has_next == 1;
  generator.next_normal_ = std::bit_cast<double>(read_hex(in, 16));
  if (!std::isfinite(generator.next_normal_)) bad_state("its next normal number is not finite");
  for (uint32_t& word : generator.state_) word = static_cast<uint32_t>(read_hex(in, 8));
  if (std::all_of(generator.state_.begin(), generator.state_.end(), [](uint32_t word) { return word == 0; }))
    bad_state("all of its words are zero");
  if (in >> tag) bad_state("there is text behind its end");
  return generator;
}

}  // namespace prax

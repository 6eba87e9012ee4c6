#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace prax {

//! Element types, those of safetensors.
enum class DType : uint8_t { f64, f32, f16, bf16, f8_e4m3, f8_e5m2, i64, i32, u8, boolean, i16, i8 };

size_t size_of(DType dtype);
//! Lower-case name for people: "f32", "bf16", "bool" ...
std::string_view name_of(DType dtype);
//! The safetensors spelling ("F32", "BOOL"); nullopt for one that we do not read.
std::optional<DType> dtype_from_safetensors(std::string_view name);
std::string_view safetensors_name(DType dtype);
inline bool is_floating(DType d) { return d <= DType::f8_e5m2; }
//! The arithmetic of what stands beside int8 products: bf16 where i8 was asked for, else what was asked for.
inline DType wide_dtype(DType asked) { return asked == DType::i8 ? DType::bf16 : asked; }

//! The upper half of an IEEE single, rounded to nearest even.
struct bfloat16 {
  uint16_t bits = 0;
  bfloat16() = default;
  explicit bfloat16(float value) {
    uint32_t u = std::bit_cast<uint32_t>(value);
    if ((u & 0x7fffffffu) > 0x7f800000u) {
      bits = static_cast<uint16_t>((u >> 16) | 0x40u);  // NaN stays NaN
    } else {
      u += 0x7fffu + ((u >> 16) & 1u);
      bits = static_cast<uint16_t>(u >> 16);
    }
  }
  operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};
static_assert(sizeof(bfloat16) == 2);

float float_from_half(uint16_t bits);
uint16_t half_from_float(float value);   //!< round to nearest even
float float_from_f8_e4m3(uint8_t bits);  //!< OCP E4M3FN: no infinities
float float_from_f8_e5m2(uint8_t bits);

//! IEEE 754 binary16.
struct float16 {
  uint16_t bits = 0;
  float16() = default;
  explicit float16(float value) : bits(half_from_float(value)) {}
  operator float() const { return float_from_half(bits); }
};
static_assert(sizeof(float16) == 2);

template <typename T>
struct dtype_of;
template <>
struct dtype_of<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct dtype_of<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct dtype_of<float16> {
  static constexpr DType value = DType::f16;
};
template <>
struct dtype_of<bfloat16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct dtype_of<int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct dtype_of<int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct dtype_of<uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct dtype_of<bool> {
  static constexpr DType value = DType::boolean;
};

}  // namespace prax

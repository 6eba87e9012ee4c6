#include "tensor/dtype.h"

#include <array>
#include <cmath>
#include <limits>

namespace prax {

namespace {

struct Row {
  DType dtype;
  size_t size;
  std::string_view name;
  std::string_view safetensors;
};

constexpr std::array<Row, 12> rows{{{DType::f64, 8, "f64", "F64"},
                                    {DType::f32, 4, "f32", "F32"},
                                    {DType::f16, 2, "f16", "F16"},
                                    {DType::bf16, 2, "bf16", "BF16"},
                                    {DType::f8_e4m3, 1, "f8_e4m3", "F8_E4M3"},
                                    {DType::f8_e5m2, 1, "f8_e5m2", "F8_E5M2"},
                                    {DType::i64, 8, "i64", "I64"},
                                    {DType::i32, 4, "i32", "I32"},
                                    {DType::u8, 1, "u8", "U8"},
                                    {DType::boolean, 1, "bool", "BOOL"},
                                    {DType::i16, 2, "i16", "I16"},
                                    {DType::i8, 1, "i8", "I8"}}};

const Row& row_of(DType dtype) { return rows[static_cast<size_t>(dtype)]; }

}  // namespace

size_t size_of(DType dtype) { return row_of(dtype).size; }
std::string_view name_of(DType dtype) { return row_of(dtype).name; }
std::string_view safetensors_name(DType dtype) { return row_of(dtype).safetensors; }

std::optional<DType> dtype_from_safetensors(std::string_view name) {
  for (const Row& row : rows)
    if (row.safetensors == name) return row.dtype;
  return std::nullopt;
}

float float_from_half(uint16_t bits) {
  const uint32_t sign = (bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 31u;
  const uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float value = static_cast<float>(mantissa) * 0x1p-24f;
  return sign ? -value : value;
}

uint16_t half_from_float(float value) {
  const uint32_t u = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((u >> 16) & 0x8000u);
  const uint32_t magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // rounds to infinity
  if (magnitude < 0x38800000u) {                        // subnormal: let the FPU round at 2^-24
    const float scaled = std::bit_cast<float>(magnitude) * 0x1p24f;
    return sign | static_cast<uint16_t>(std::nearbyint(scaled));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return sign | static_cast<uint16_t>((rounded - 0x38000000u) >> 13);
}

float float_from_f8_e4m3(uint8_t bits) {
  const int exponent = (bits >> 3) & 15;
  const int mantissa = bits & 7;
  float value;
  if (exponent == 15 && mantissa == 7) {
    value = std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    value = std::ldexp(static_cast<float>(mantissa), -9);
  } else {
    value = std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  }
  return bits & 0x80 ? -value : value;
}

float float_from_f8_e5m2(uint8_t bits) { return float_from_half(static_cast<uint16_t>(bits) << 8); }

}  // namespace prax

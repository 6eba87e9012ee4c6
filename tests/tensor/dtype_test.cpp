#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <cmath>

namespace prax {
namespace {

TEST(DType, NamesRoundTrip) {
  for (int i = 0; i <= static_cast<int>(DType::boolean); ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(dtype_from_safetensors(safetensors_name(dtype)), dtype);
    EXPECT_GT(size_of(dtype), 0u);
  }
  EXPECT_FALSE(dtype_from_safetensors("F4"));
}

TEST(DType, EveryHalfSurvivesTheWayThroughFloat) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = float_from_half(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(float_from_half(half_from_float(value))));
    } else {
      EXPECT_EQ(half_from_float(value), bits);
    }
  }
}

TEST(DType, HalfRoundsToNearestEven) {
  EXPECT_EQ(half_from_float(1.0f + 0x1p-11f), half_from_float(1.0f));          // tie, down to even
  EXPECT_EQ(half_from_float(1.0f + 3 * 0x1p-11f), half_from_float(1.0f) + 2);  // tie, up to even
  EXPECT_EQ(half_from_float(65520.0f), 0x7c00);                                // overflow to infinity
  EXPECT_EQ(half_from_float(65519.0f), 0x7bff);
  EXPECT_EQ(half_from_float(0x1p-25f), 0);  // half of the smallest: to even
  EXPECT_EQ(half_from_float(-0x1.8p-24f), 0x8002);
}

TEST(DType, BfloatRoundsToNearestEvenAndKeepsNaN) {
  EXPECT_EQ(bfloat16(1.0f + 0x1p-8f).bits, bfloat16(1.0f).bits);
  EXPECT_EQ(bfloat16(1.0f + 3 * 0x1p-8f).bits, bfloat16(1.0f).bits + 2);
  EXPECT_TRUE(std::isnan(static_cast<float>(bfloat16(NAN))));
  EXPECT_EQ(static_cast<float>(bfloat16(INFINITY)), INFINITY);
}

TEST(DType, ReadsEightBitFloats) {
  EXPECT_EQ(float_from_f8_e4m3(0x38), 1.0f);
  EXPECT_EQ(float_from_f8_e4m3(0x7e), 448.0f);
  EXPECT_EQ(float_from_f8_e4m3(0x01), 0x1p-9f);
  EXPECT_EQ(float_from_f8_e4m3(0xb8), -1.0f);
  EXPECT_TRUE(std::isnan(float_from_f8_e4m3(0x7f)));
  EXPECT_EQ(float_from_f8_e5m2(0x3c), 1.0f);
  EXPECT_EQ(float_from_f8_e5m2(0x7b), 57344.0f);
  EXPECT_EQ(float_from_f8_e5m2(0x7c), INFINITY);
  EXPECT_EQ(float_from_f8_e5m2(0x01), 0x1p-16f);
}

}  // namespace
}  // namespace prax

#include "kernels/roofline.h"

#include <gtest/gtest.h>

#include "kernels/isa.h"
#include "kernels/kernels.h"

namespace prax::kernels::roofline_test {
namespace {

class RooflineTest : public testing::Test {
protected:
  void TearDown() override { set_isa(available_isas().back()); }
};

// How fast the machine is, is no property of the program: these tests ask only whether there is a figure at all.
TEST_F(RooflineTest, HasAPeakForEachArithmeticOfTheIsa) {
  for (const Isa isa : available_isas()) {
    set_isa(isa);
    EXPECT_GT(register_peak(Arithmetic::f32), 1e8) << name_of(isa);
    EXPECT_EQ(register_peak(Arithmetic::bf16) > 0, isa == Isa::amx || isa == Isa::avx512_bf16) << name_of(isa);
  }
}

TEST_F(RooflineTest, WeightsMeetTheArithmeticOfTheIsa) {
  for (const Isa isa : available_isas()) {
    set_isa(isa);
    EXPECT_EQ(arithmetic_of(DType::f32), Arithmetic::f32);
    // A peak is there for every arithmetic that products end in.
    EXPECT_EQ(arithmetic_of(DType::bf16) == Arithmetic::bf16, kernels().bf16.a_dtype == DType::bf16);
  }
}

TEST_F(RooflineTest, MemoryMovesAtAPlausibleSpeed) {
  const double bandwidth = memory_bandwidth();
  EXPECT_GT(bandwidth, 0.5e9);
  EXPECT_LT(bandwidth, 20e12);
}

}  // namespace
}  // namespace prax::kernels::roofline_test

#include "kernels/roofline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "kernels/isa.h"
#include "kernels/kernels.h"
#include "tensor/parallel.h"
#include "tensor/tensor.h"

namespace prax::kernels {
namespace {

class RooflineTest : public testing::Test {
protected:
  void TearDown() override { set_isa(available_isas().back()); }
};

//! Multiplications and additions a second of the ISA's f32 tile on data that stays in L1, on this thread.
double tile_speed() {
  const MatmulKernel& k = kernels().f32;
  const int64_t depth = 64;
  const Tensor a = Tensor::full({k.rows, depth}, 1.0f), b = Tensor::full({depth, k.columns}, 0.5f);
  Tensor c = Tensor::zeros({k.rows, k.columns});
  const int64_t no_offset = 0;
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    const auto start = std::chrono::steady_clock::now();
    constexpr int repeats = 20000;
    for (int i = 0; i < repeats; ++i)
      k.tile(a.raw(), depth, &no_offset, 1, depth, b.raw(), c.data<float>(), k.columns, false);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::max(best, 2.0 * k.rows * k.columns * depth * repeats / took.count());
  }
  return best;
}

//! Tries until fn() is true. Other programs may slow down any one measurement, but not every one.
template <typename Function>
bool soon(Function&& fn) {
  constexpr int tries = 8;
  for (int i = 0; i < tries; ++i)
    if (fn()) return true;
  return false;
}

TEST_F(RooflineTest, NoKernelIsFasterThanThePeak) {
  set_thread_count(1);
  for (const Isa isa : available_isas()) {
    set_isa(isa);
    double peak = 0;
    const double tile = tile_speed();
    EXPECT_TRUE(soon([&] {
      peak = std::max(peak, register_peak(Arithmetic::f32));
      return peak > 0.95 * tile;
    })) << name_of(isa)
        << ": peak " << peak << ", kernel " << tile;
    EXPECT_LT(peak, 200 * tile) << name_of(isa);
  }
  set_thread_count(0);
}

TEST_F(RooflineTest, NarrowerNumbersHaveAHigherPeak) {
  set_thread_count(1);
  for (const Isa isa : available_isas()) {
    set_isa(isa);
    double f32 = 0, bf16 = 0, int8 = 0;
    const bool multiplies_bf16 = isa == Isa::amx || isa == Isa::avx512_bf16;
    // VDPBF16PS does two products for one of FMA, but Sapphire Rapids runs it at a quarter of its rate. Tiles: 16 x 16
    // sums of 32 products in 16 cycles, or of 64 bytes.
    const double bf16_factor = isa == Isa::amx   ? 5
                               : multiplies_bf16 ? 0.35
                                                 : 0,
                 int8_factor = isa == Isa::amx ? 1.6 : 0;
    EXPECT_TRUE(soon([&] {
      f32 = std::max(f32, register_peak(Arithmetic::f32));
      bf16 = std::max(bf16, register_peak(Arithmetic::bf16));
      int8 = std::max(int8, register_peak(Arithmetic::int8));
      return bf16 >= bf16_factor * f32 && int8 >= int8_factor * bf16;
    })) << name_of(isa)
        << ": " << f32 << ", " << bf16 << ", " << int8;
    EXPECT_EQ(bf16 > 0, multiplies_bf16) << name_of(isa);
  }
  set_thread_count(0);
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
}  // namespace prax::kernels

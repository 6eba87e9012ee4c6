#include "nn/norm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tensor/random.h"

namespace prax::nn::norm_test {
namespace {

TEST(Normalize, ModulatesEachRowWithItsOwn) {
  const Tensor x = Generator(1).randn({3, 20}), scale = Generator(2).randn({3, 20}),
               shift = Generator(3).randn({3, 20});
  Norm norm;
  norm.scale = scale.data<float>();
  norm.shift = shift.data<float>();
  norm.modulation_stride = 20;
  const Tensor y = normalize(x, norm, DType::f32);
  for (int64_t r = 0; r < 3; ++r) {
    double squares = 0;
    for (int64_t c = 0; c < 20; ++c) squares += std::pow(x.data<float>()[r * 20 + c], 2);
    const double inverse = 1 / std::sqrt(squares / 20 + 1e-6);
    for (int64_t c = 0; c < 20; ++c) {
      const int64_t i = r * 20 + c;
      EXPECT_NEAR(y.data<float>()[i],
                  x.data<float>()[i] * inverse * (1 + scale.data<float>()[i]) + shift.data<float>()[i], 1e-5);
    }
  }
}

}  // namespace
}  // namespace prax::nn::norm_test

#include "kernels/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "support/isas.h"
#include "tensor/random.h"

namespace prax::kernels::kernels_test {
namespace {

template <typename Body>
void everywhere(Body&& body) {
  test::on_every_isa([&] { body(kernels()); });
}

class Rowwise : public testing::TestWithParam<int64_t> {
protected:
  std::vector<float> draw(int64_t n, uint64_t seed, float scale = 1) {
    const Tensor t = Generator(seed).randn({n});
    std::vector<float> v(t.span<float>().begin(), t.span<float>().end());
    for (float& x : v) x *= scale;
    return v;
  }
};

TEST_P(Rowwise, Norms) {
  const int64_t n = GetParam();
  auto x = draw(n, 1);
  for (float& v : x) v += 100;  // a large mean must not cancel
  const auto weight = draw(n, 2), bias = draw(n, 3), scale = draw(n, 4), shift = draw(n, 5);
  for (bool rms : {true, false}) {
    double mean = 0, squares = 0;
    for (float v : x) mean += rms ? 0 : v;
    mean /= static_cast<double>(n);
    for (float v : x) squares += (v - mean) * (v - mean);
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-3);
    everywhere([&](const KernelTable& k) {
      std::vector<float> out(static_cast<size_t>(n) + 1, 42);
      k.norm(x.data(), DType::f32, n, rms, 1e-3f, weight.data(), bias.data(), scale.data(), shift.data(),
             Activation::silu, out.data(), DType::f32);
      for (int64_t i = 0; i < n; ++i) {
        const auto j = static_cast<size_t>(i);
        double y = ((x[j] - mean) * inverse * weight[j] + bias[j]) * (1 + scale[j]) + shift[j];
        y /= 1 + std::exp(-y);
        EXPECT_NEAR(out[j], y, 2e-4 * (1 + std::abs(y)));
      }
      EXPECT_EQ(out.back(), 42) << "wrote past the row";
    });
  }
}

TEST_P(Rowwise, RotatesPairs) {
  const int64_t n = GetParam() / 2 * 2;
  if (n == 0) return;
  const auto x = draw(n, 1), angle = draw(n, 2);
  std::vector<float> cos, sin;
  for (float a : angle) {
    cos.push_back(std::cos(a));
    sin.push_back(std::sin(a));
  }
  everywhere([&](const KernelTable& k) {
    auto y = x;
    k.rotate(y.data(), DType::f32, n, cos.data(), sin.data());
    for (size_t i = 0; i < y.size(); i += 2) {
      EXPECT_NEAR(y[i], x[i] * cos[i] - x[i + 1] * sin[i], 1e-6);
      EXPECT_NEAR(y[i + 1], x[i + 1] * cos[i + 1] + x[i] * sin[i + 1], 1e-6);
    }
  });
}

double activated(Activation activation, double v) {
  switch (activation) {
    case Activation::none:
      return v;
    case Activation::silu:
      return v / (1 + std::exp(-v));
    case Activation::gelu_tanh:
      return 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
    case Activation::gelu:
      return 0.5 * v * std::erfc(-v / M_SQRT2);
    case Activation::quick_gelu:
      return v / (1 + std::exp(-1.702 * v));
    case Activation::mish:
      return v * std::tanh(std::log1p(std::exp(v)));
    case Activation::relu:
      return std::max(v, 0.0);
  }
  return NAN;
}

TEST_P(Rowwise, Activates) {
  const int64_t n = GetParam();
  auto x = draw(n, 1, 20);
  if (n > 16) {
    constexpr std::array extremes{0.0f, -0.0f, 1e-20f, -12.0f, 100.0f, -100.0f, 1e30f, -1e30f};
    std::copy(extremes.begin(), extremes.end(), x.begin());
  }
  everywhere([&](const KernelTable& k) {
    for (const Activation activation : {Activation::none, Activation::silu, Activation::gelu_tanh, Activation::gelu,
                                        Activation::quick_gelu, Activation::mish, Activation::relu}) {
      std::vector<float> y(x.size());
      k.activate(x.data(), DType::f32, n, activation, y.data(), DType::f32);
      for (size_t i = 0; i < x.size(); ++i) {
        const double v = x[i];
        const double most = activation == Activation::silu ? 1e-6 : 2e-6;
        EXPECT_NEAR(y[i], activated(activation, v), most * (1 + std::max(v, 0.0)))
            << static_cast<int>(activation) << " of " << v;
      }
    }
  });
}

//! Where the values themselves are small: their last digits, not those of 1.
TEST(Activations, TailsOfTheNormalDistribution) {
  std::vector<float> x, y;
  for (float v = -6; v <= 6; v += 0.03125f) x.push_back(v);
  y.resize(x.size());
  everywhere([&](const KernelTable& k) {
    k.activate(x.data(), DType::f32, static_cast<int64_t>(x.size()), Activation::gelu, y.data(), DType::f32);
    for (size_t i = 0; i < x.size(); ++i) {
      const double expected = activated(Activation::gelu, x[i]);
      EXPECT_NEAR(y[i], expected, 3e-6 * std::abs(expected)) << x[i];
    }
  });
}

TEST_P(Rowwise, ConvertsLikeTheScalarType) {
  const int64_t n = GetParam();
  const auto x = draw(n, 1, 1e3);
  everywhere([&](const KernelTable& k) {
    std::vector<bfloat16> narrow(x.size());
    k.convert(x.data(), DType::f32, n, narrow.data(), DType::bf16);
    for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(narrow[i].bits, bfloat16(x[i]).bits);
    std::vector<float> wide(x.size());
    k.convert(narrow.data(), DType::bf16, n, wide.data(), DType::f32);
    for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(wide[i], static_cast<float>(narrow[i]));
    std::vector<float> sum(x.size());
    k.add(x.data(), wide.data(), DType::f32, n, sum.data());
    for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(sum[i], x[i] + wide[i]);
  });
}

INSTANTIATE_TEST_SUITE_P(Channels, Rowwise, testing::Values(1, 3, 8, 16, 17, 31, 64, 2048));

}  // namespace
}  // namespace prax::kernels::kernels_test

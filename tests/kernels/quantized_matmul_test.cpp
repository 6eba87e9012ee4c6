#include "kernels/quantized_matmul.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "support/isas.h"
#include "tensor/parallel.h"
#include "tensor/random.h"

namespace prax::kernels::quantized_matmul_test {
namespace {

using test::on_every_isa;

//! A row as the kernels round it, in f64: to -127..127, and then to -most..most.
std::vector<double> rounded(const float* x, int64_t count, int most = 127) {
  float largest = 0;
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, std::abs(x[i]));
  const float inverse = 127.0f / largest;
  std::vector<double> out;
  for (int64_t i = 0; i < count; ++i)
    out.push_back(largest > 0 ? std::nearbyint(std::nearbyint(x[i] * inverse) * most / 127.0) *
                                    static_cast<double>(largest / static_cast<float>(most))
                              : 0.0);
  return out;
}

std::vector<double> product(const Tensor& a, const Tensor& w) {
  const int64_t m = a.dim(0), k = a.dim(1), n = w.dim(0);
  std::vector<double> out;
  for (int64_t i = 0; i < m; ++i) {
    const auto row = rounded(a.data<float>() + i * k, k);
    for (int64_t j = 0; j < n; ++j) {
      const auto column = rounded(w.data<float>() + j * k, k, kernels().int8.b_most);
      double sum = 0;
      for (size_t d = 0; d < row.size(); ++d) sum += row[d] * column[d];
      out.push_back(sum);
    }
  }
  return out;
}

Tensor multiply(const Tensor& a, std::span<const Tensor> weights, Epilogue e = {}) {
  const QuantizedMatrix w = QuantizedMatrix::pack(weights);
  Tensor out = Tensor::full({a.dim(0), w.rows()}, NAN);
  e.out = out.raw();
  e.out_stride = w.rows();
  matmul(QuantizedActivation(a.raw(), a.dtype(), a.dim(0), a.dim(1), a.dim(1)), 0, a.dim(0), w, e);
  return out;
}

struct Case {
  int64_t m, k, n;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.m << "x" << c.k << "x" << c.n; }

class QuantizedMatmul : public testing::TestWithParam<Case> {};

TEST_P(QuantizedMatmul, IsTheProductOfTheRoundedOperands) {
  const auto [m, k, n] = GetParam();
  Generator g(7);
  const Tensor a = g.randn({m, k}), w = g.randn({n, k});
  on_every_isa([&] {
    const auto want = product(a, w);
    const Tensor out = multiply(a, std::span(&w, 1));
    for (size_t i = 0; i < want.size(); ++i)
      ASSERT_NEAR(out.data<float>()[i], want[i], 1e-5 * static_cast<double>(k) + 1e-6 * std::abs(want[i])) << i;
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, QuantizedMatmul,
                         testing::Values(Case{1, 1, 1}, Case{1, 256, 48}, Case{3, 7, 5}, Case{33, 65, 97},
                                         Case{300, 40, 20}, Case{64, 1100, 130}, Case{90, 514, 600}));

TEST(QuantizedMatmul, SumsStayExactWhenAllIsAsLargeAsItCanBe) {
  const int64_t k = 12288;
  const Tensor a = Tensor::full({2, k}, -3.0f), w = Tensor::full({3, k}, 2.0f);
  on_every_isa([&] {
    const Tensor out = multiply(a, std::span(&w, 1));
    for (const float v : out.span<float>()) EXPECT_FLOAT_EQ(v, -6.0f * static_cast<float>(k));
  });
}

TEST(QuantizedMatmul, StackedWeightsAreSideBySide) {
  Generator g(2);
  const Tensor a = g.randn({20, 70}), w[] = {g.randn({30, 70}), g.randn({7, 70}).to(DType::bf16)};
  on_every_isa([&] {
    const auto left = product(a, w[0]), right = product(a, w[1].to(DType::f32));
    const Tensor out = multiply(a, w);
    for (int64_t i = 0; i < 20; ++i)
      for (int64_t j = 0; j < 37; ++j)
        ASSERT_NEAR(out.data<float>()[i * 37 + j],
                    j < 30 ? left[static_cast<size_t>(i * 30 + j)] : right[static_cast<size_t>(i * 7 + j - 30)], 1e-3);
  });
}

TEST(QuantizedMatmul, FusesWhatFollows) {
  const int64_t m = 37, k = 50, n = 70;
  Generator g(1);
  const Tensor a = g.randn({m, k}), w = g.randn({n, k}), bias = g.randn({n}), gate = g.randn({m, n});
  const Tensor residual = g.randn({m, n});
  on_every_isa([&] {
    const auto want = product(a, w);
    Epilogue e;
    e.bias = bias.data<float>();
    e.gate = gate.data<float>();
    e.gate_stride = n;
    e.residual = residual.data<float>();
    e.residual_stride = n;
    const Tensor out = multiply(a, std::span(&w, 1), e);
    for (int64_t i = 0; i < m * n; ++i)
      ASSERT_NEAR(out.data<float>()[i],
                  residual.data<float>()[i] +
                      gate.data<float>()[i] * (want[static_cast<size_t>(i)] + bias.data<float>()[i % n]),
                  1e-3);
  });
}

TEST(QuantizedMatmul, DoesNotDependOnThreads) {
  Generator g(3);
  const Tensor a = g.randn({700, 600}), w = g.randn({900, 600});
  on_every_isa([&] {
    Tensor first;
    for (int threads : {1, 2, 5}) {
      set_thread_count(threads);
      const Tensor out = multiply(a, std::span(&w, 1));
      if (!first.defined()) first = out;
      EXPECT_TRUE(std::equal(out.span<float>().begin(), out.span<float>().end(), first.span<float>().begin()));
    }
    set_thread_count(0);
  });
}

TEST(QuantizedMatmul, ARowDoesNotDependOnTheOthers) {
  Generator g(6);
  const Tensor a = g.randn({61, 200}), w = g.randn({90, 200});
  on_every_isa([&] {
    const QuantizedMatrix packed = QuantizedMatrix::pack(std::span(&w, 1));
    const QuantizedActivation rows(a.raw(), DType::f32, 61, 200, 200);
    const Tensor all = multiply(a, std::span(&w, 1));
    Tensor some = Tensor::full({17, 90}, NAN);
    Epilogue e;
    e.out = some.raw();
    e.out_stride = 90;
    matmul(rows, 44, 17, packed, e);
    EXPECT_TRUE(std::equal(some.span<float>().begin(), some.span<float>().end(), all.data<float>() + 44 * 90));
  });
}

TEST(QuantizedMatmul, TellsWhatRoundingTakesAway) {
  Generator g(4);
  Tensor w = g.randn({64, 512});
  on_every_isa([&] {
    const auto error = [&] { return QuantizedMatrix::pack(std::span(&w, 1)).error(); };
    const double usual = error() * kernels().int8.b_most / 127;
    EXPECT_GT(usual, 0.004);
    EXPECT_LT(usual, 0.012) << "of normal values, the largest some 3.3 deviations";
    QuantizationLoss loss;
    const QuantizedRows stored = quantize_rows(w, loss);
    const double again = QuantizedMatrix::pack(std::span(&stored.bytes, 1), std::span(&stored.scales, 1)).error();
    EXPECT_NEAR(again, kernels().int8.b_most == 127 ? 0 : error(), 1e-4) << "of what was stored as int8";
    Tensor spiked = w.clone();
    for (int64_t r = 0; r < 64; ++r) spiked.data<float>()[r * 512] = 100.0f;
    const QuantizedActivation a(spiked.raw(), DType::f32, 64, 512, 512);
    for (int64_t r = 0; r < 64; ++r) EXPECT_GT(a.error(r), 0.03) << "one large value in each row";
  });
}

TEST(QuantizedMatmul, WhatIsNotFiniteShows) {
  Generator g(5);
  const Tensor w = g.randn({8, 40});
  on_every_isa([&] {
    for (const float bad : {NAN, INFINITY}) {
      Tensor a = Tensor::full({2, 40}, 1.0f);
      a.data<float>()[45] = bad;
      const Tensor out = multiply(a, std::span(&w, 1));
      for (int64_t j = 0; j < 8; ++j) {
        EXPECT_TRUE(std::isfinite(out.data<float>()[j]));
        EXPECT_FALSE(std::isfinite(out.data<float>()[8 + j]));
      }
    }
  });
}

TEST(QuantizedMatmul, RefusesWidthsThatDoNotFit) {
  const Tensor a = Tensor::zeros({2, 8}), w = Tensor::zeros({3, 9});
  EXPECT_THROW(multiply(a, std::span(&w, 1)), Error);
}

}  // namespace
}  // namespace prax::kernels::quantized_matmul_test

#include "kernels/matmul.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "support/products.h"
#include "tensor/parallel.h"
#include "tensor/random.h"

namespace prax::kernels::matmul_test {
namespace {

struct Case {
  int64_t m, k, n;
};

double gelu_tanh(double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }

class Matmul : public testing::TestWithParam<Case> {};

TEST_P(Matmul, IsTheProduct) {
  const auto [m, k, n] = GetParam();
  Generator g(7);
  const Tensor a = g.randn({m, k}), w = g.randn({n, k});
  everywhere([&](DType dtype) {
    const auto want = product(a, w, dtype);
    Tensor out = Tensor::full({m, n}, NAN);
    Epilogue e;
    e.out = out.raw();
    e.out_stride = n;
    matmul(a.raw(), DType::f32, m, k, PackedMatrix::pack(w, dtype), e);
    expect_near(out, want, 1e-4);
    Tensor streamed = Tensor::full({m, n}, NAN);
    e.out = streamed.raw();
    matmul_streamed(a.raw(), DType::f32, m, k, w, dtype, e);
    EXPECT_TRUE(std::equal(out.span<float>().begin(), out.span<float>().end(), streamed.span<float>().begin()));
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, Matmul,
                         testing::Values(Case{1, 1, 1}, Case{1, 256, 48}, Case{3, 7, 5}, Case{33, 65, 97},
                                         Case{300, 40, 20}, Case{64, 1100, 130}, Case{513, 70, 1600}));

TEST(Matmul, FusesWhatFollows) {
  const int64_t m = 37, k = 50, n = 70;
  Generator g(1);
  const Tensor a = g.randn({m, k}), w = g.randn({n, k}), bias = g.randn({n}), gate = g.randn({m, n});
  const Tensor factor = g.randn({m, n}), residual = g.randn({m, n});
  everywhere([&](DType dtype) {
    auto want = product(a, w, dtype);
    for (int64_t i = 0; i < m * n; ++i) {
      double y = gelu_tanh(want[static_cast<size_t>(i)] + bias.data<float>()[i % n]);
      y *= factor.data<float>()[i];
      want[static_cast<size_t>(i)] = residual.data<float>()[i] + gate.data<float>()[i] * y;
    }
    Tensor out = residual.clone();  // in place
    Epilogue e;
    e.bias = bias.data<float>();
    e.activation = Activation::gelu_tanh;
    e.factor = factor.raw();
    e.factor_stride = n;
    e.gate = gate.data<float>();
    e.gate_stride = n;
    e.residual = out.data<float>();
    e.residual_stride = n;
    e.out = out.raw();
    e.out_stride = n;
    matmul(a.raw(), DType::f32, m, k, PackedMatrix::pack(w, dtype), e);
    expect_near(out, want, 3e-4);
  });
}

TEST(Matmul, AddsASecondProductBeforeWhatFollows) {
  const int64_t m = 300, k = 1100, r = 13, n = 130;
  Generator g(5);
  const Tensor a = g.randn({m, k}), w = g.randn({n, k}), a2 = g.randn({m, r}), w2 = g.randn({n, r});
  everywhere([&](DType dtype) {
    auto want = product(a, w, dtype);
    const auto more = product(a2, w2, dtype);
    for (size_t i = 0; i < want.size(); ++i) want[i] = gelu_tanh(want[i] + more[i]);
    const PackedMatrix packed = PackedMatrix::pack(w, dtype), packed2 = PackedMatrix::pack(w2, dtype);
    const Addend addend{a2.raw(), DType::f32, r, &packed2};
    Tensor out = Tensor::full({m, n}, NAN);
    Epilogue e;
    e.activation = Activation::gelu_tanh;
    e.out = out.raw();
    e.out_stride = n;
    matmul(a.raw(), DType::f32, m, k, packed, e, &addend);
    expect_near(out, want, 3e-4);
    Tensor streamed = Tensor::full({m, n}, NAN);
    e.out = streamed.raw();
    matmul_streamed(a.raw(), DType::f32, m, k, w, dtype, e, &addend);
    EXPECT_TRUE(std::equal(out.span<float>().begin(), out.span<float>().end(), streamed.span<float>().begin()));
    const PackedMatrix other = PackedMatrix::pack(w2, dtype == DType::f32 ? DType::bf16 : DType::f32);
    const Addend unlike{a2.raw(), DType::f32, r, &other};
    EXPECT_THROW(matmul(a.raw(), DType::f32, m, k, packed, e, &unlike), Error);
  });
}

TEST(Matmul, DoesNotDependOnThreads) {
  const int64_t m = 700, k = 600, n = 900;
  Generator g(3);
  const Tensor a = g.randn({m, k}), w = g.randn({n, k});
  everywhere([&](DType dtype) {
    Tensor first;
    for (int threads : {1, 2, 5}) {
      set_thread_count(threads);
      Tensor out = Tensor::empty({m, n});
      Epilogue e;
      e.out = out.raw();
      e.out_stride = n;
      matmul(a.raw(), DType::f32, m, k, PackedMatrix::pack(w, dtype), e);
      if (!first.defined()) first = out;
      EXPECT_TRUE(std::equal(out.span<float>().begin(), out.span<float>().end(), first.span<float>().begin()));
    }
    set_thread_count(0);
  });
}

//! What lies behind a short row must not leak in, not even a NaN.
TEST(Matmul, IgnoresWhatLiesBetweenRows) {
  const int64_t m = 5, k = 21, stride = 64, n = 9;
  Generator g(5);
  const Tensor a = g.randn({m, k}), w = g.randn({n, k});
  Tensor wide = Tensor::full({m, stride}, NAN);
  for (int64_t i = 0; i < m; ++i) std::copy_n(a.data<float>() + i * k, k, wide.data<float>() + i * stride);
  everywhere([&](DType dtype) {
    const auto want = product(a, w, dtype);
    Tensor out = Tensor::empty({m, n});
    Epilogue e;
    e.out = out.raw();
    e.out_stride = n;
    matmul(wide.raw(), DType::f32, m, stride, PackedMatrix::pack(w, dtype), e);
    expect_near(out, want, 1e-4);
  });
}

}  // namespace
}  // namespace prax::kernels::matmul_test

#include "kernels/convolution.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "support/products.h"
#include "tensor/parallel.h"
#include "tensor/random.h"

namespace prax::kernels::convolution_test {
namespace {

TEST(MatmulTaps, AddsShiftedRows) {
  // y[i] = W0 x[i] + W1 x[i+1] over two groups of one row each: a convolution of width 2 and height 2.
  const int64_t depth = 64, rows = 50, n = 40, groups = 2, segments = 2;
  Generator g(9);
  const Tensor x = g.randn({rows + 80, depth}), w = g.randn({n, groups * segments * depth});
  everywhere([&](DType dtype) {
    const Tensor rows_of_w = w.to(dtype);
    const size_t group_bytes = static_cast<size_t>(segments * depth) * size_of(dtype);
    const PackedMatrix packed =
        PackedMatrix::pack_groups(n, dtype, groups, segments, depth, [&](int64_t row, int64_t group, void* to) {
          std::memcpy(
              to, static_cast<const char*>(rows_of_w.raw()) + static_cast<size_t>(row * groups + group) * group_bytes,
              group_bytes);
        });
    const Tensor a = x.to(packed.kernel().a_dtype);
    const size_t size = size_of(a.dtype());
    const void* base[groups] = {a.raw(), static_cast<const char*>(a.raw()) + 10 * depth * static_cast<int64_t>(size)};
    const int64_t offsets[segments] = {0, depth};
    Tensor out = Tensor::empty({rows, n});
    Epilogue e;
    e.out = out.raw();
    e.out_stride = n;
    matmul_taps(base, offsets, rows, depth, packed, e);
    Tensor unrolled = Tensor::empty({rows, groups * segments * depth});
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t t = 0; t < groups * segments; ++t)
        std::copy_n(x.data<float>() + (i + t / 2 * 10 + t % 2) * depth, depth,
                    unrolled.data<float>() + (i * groups * segments + t) * depth);
    expect_near(out, product(unrolled, w, dtype), 1e-4);
  });
}

struct Case {
  int64_t pictures, height, width, in, out;
};

class Winograd : public testing::TestWithParam<Case> {};

//! Against the nine taps in double. What lies past the border is not a number, and must not show.
TEST_P(Winograd, IsTheConvolution) {
  const auto [pictures, height, width, in, out] = GetParam();
  const int64_t row = width + 2, border = (height + 2) * row, pixels = border + row + 2, pitch = in + 5;
  Generator g(3);
  const Tensor w = g.randn({out, in, pictures, 3, 3}), bias = g.randn({out}), residual = g.randn({height, width, out});
  std::vector<Tensor> drawn;
  for (int64_t t = 0; t < pictures; ++t) {
    Tensor x = g.randn({pixels, pitch});
    for (int64_t i = border; i < pixels; ++i) std::fill_n(x.data<float>() + i * pitch, pitch, NAN);
    drawn.push_back(x);
  }
  everywhere([&](DType dtype) {
    const WinogradWeights weights = WinogradWeights::pack(w, dtype);
    std::vector<Tensor> x;
    std::vector<const void*> first;
    for (const Tensor& picture : drawn) x.push_back(picture.to(dtype));
    for (const Tensor& picture : x) first.push_back(picture.raw());
    Tensor y = residual.clone();
    convolve_winograd({first, pitch, row * pitch, dtype}, weights,
                      {height, width, y.data<float>(), width * out, bias.data<float>(), y.data<float>()});
    // The same with a residual that waited as bf16, which is rounded to 2^-9.
    const Tensor waited = residual.to(DType::bf16);
    Tensor z = Tensor::empty(y.shape());
    convolve_winograd({first, pitch, row * pitch, dtype}, weights,
                      {height, width, z.data<float>(), width * out, bias.data<float>(), waited.raw(), DType::bf16});
    for (int64_t i = 0; i < y.numel(); ++i) ASSERT_NEAR(z.data<float>()[i], y.data<float>()[i], 0.02) << i;
    // Rounding: of what is multiplied to 2^-9 in bf16, twice as wide by the transforms; of sums in f32.
    const double terms = std::sqrt(static_cast<double>(in * pictures * 9));
    const double tolerance = terms * (dtype == DType::f32 ? 2e-5 : 0.03);
    for (int64_t i = 0; i < height * width; ++i)
      for (int64_t o = 0; o < out; ++o) {
        double want = double{bias.data<float>()[o]} + residual.data<float>()[i * out + o];
        for (int64_t t = 0; t < pictures; ++t)
          for (int64_t tap = 0; tap < 9; ++tap)
            for (int64_t c = 0; c < in; ++c) {
              const int64_t pixel = (i / width + tap / 3) * row + i % width + tap % 3;
              want += double{w.data<float>()[((o * in + c) * pictures + t) * 9 + tap]} *
                      drawn[static_cast<size_t>(t)].data<float>()[pixel * pitch + c];
            }
        ASSERT_NEAR(y.data<float>()[i * out + o], want, tolerance) << i << " " << o;
      }
  });
}

INSTANTIATE_TEST_SUITE_P(Sizes, Winograd,
                         testing::Values(Case{1, 1, 1, 1, 1}, Case{1, 5, 7, 3, 8}, Case{3, 4, 6, 33, 40},
                                         Case{1, 2, 31, 150, 17}, Case{3, 7, 3, 16, 140}, Case{1, 17, 18, 40, 36}));

TEST(Winograd, DoesNotDependOnTheThreads) {
  Generator g(4);
  const int64_t height = 9, width = 30, channels = 48, row = width + 2;
  const WinogradWeights weights = WinogradWeights::pack(g.randn({200, channels, 3, 3}), DType::bf16);
  const Tensor x = g.randn({(height + 4) * row, channels}).to(weights.kernel().a_dtype);
  const void* first[] = {x.raw()};
  std::vector<Tensor> outs;
  for (int threads : {1, 3}) {
    set_thread_count(threads);
    Tensor y = Tensor::empty({height, width, 200});
    convolve_winograd({first, channels, row * channels, x.dtype()}, weights,
                      {height, width, y.data<float>(), width * 200});
    outs.push_back(y);
  }
  set_thread_count(0);
  EXPECT_TRUE(std::equal(outs[0].data<float>(), outs[0].data<float>() + outs[0].numel(), outs[1].data<float>()));
}

TEST(Winograd, RefusesPicturesThatDoNotFit) {
  const WinogradWeights weights = WinogradWeights::pack(Tensor::zeros({4, 4, 3, 3, 3}), DType::f32);
  const Tensor x = Tensor::zeros({64, 4});
  const void* one[] = {x.raw()};
  Tensor y = Tensor::empty({2, 2, 4});
  EXPECT_THROW(convolve_winograd({one, 4, 16, DType::f32}, weights, {2, 2, y.data<float>(), 8}), Error);
}

}  // namespace
}  // namespace prax::kernels::convolution_test

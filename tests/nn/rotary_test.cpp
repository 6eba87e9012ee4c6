#include "nn/rotary.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tensor/random.h"

namespace prax::nn::rotary_test {
namespace {

constexpr int64_t rows = 3, heads = 2, channels = 6, width = heads * channels, stride = width + 4;

//! The pass written out: norms of `part` channels, then pairs turned by angles [first + rows, turned].
std::vector<double> expected(const Tensor& x, const float* weight, int64_t part, const Tensor* angles, int64_t first) {
  std::vector<double> y;
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = x.data<float>() + r * stride;
    std::vector<double> normed(row, row + width);
    for (int64_t c = 0; c < width && part > 0; c += part) {
      double squares = 0;
      for (int64_t i = c; i < c + part; ++i) squares += row[i] * row[i];
      for (int64_t i = c; i < c + part; ++i)
        normed[static_cast<size_t>(i)] *= weight[i - c] / std::sqrt(squares / static_cast<double>(part) + 1e-6);
    }
    for (int64_t c = 0; c < width; c += 2) {
      const double even = normed[static_cast<size_t>(c)], odd = normed[static_cast<size_t>(c + 1)];
      double angle = 0;
      if (angles) angle = angles->data<float>()[(first + r) * angles->dim(1) + c % angles->dim(1)];
      y.push_back(even * std::cos(angle) - odd * std::sin(angle));
      y.push_back(odd * std::cos(angle) + even * std::sin(angle));
    }
  }
  return y;
}

Tensor angles_of(int64_t positions, int64_t turned) {
  Tensor angles = Generator(3).randn({positions, turned});
  for (int64_t i = 0; i < angles.numel(); i += 2) angles.data<float>()[i + 1] = angles.data<float>()[i];
  return angles;
}

Rotary tables(const Tensor& angles) {
  Rotary r{angles.clone(), angles.clone()};
  for (float& a : r.cos.span<float>()) a = std::cos(a);
  for (float& a : r.sin.span<float>()) a = std::sin(a);
  return r;
}

void expect_rows(const Tensor& x, const Tensor& before, const std::vector<double>& want) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < stride; ++c) {
      const float got = x.data<float>()[r * stride + c];
      if (c < width)
        EXPECT_NEAR(got, want[static_cast<size_t>(r * width + c)], 1e-5) << r << ", " << c;
      else
        EXPECT_EQ(got, before.data<float>()[r * stride + c]) << "wrote between the rows";
    }
}

TEST(NormRotate, NormsEachHeadOrAllAndTurnsByTablesOfEither) {
  const Tensor before = Generator(1).randn({rows, stride}), weight = Generator(2).randn({width});
  Norm norm;
  norm.weight = weight.data<float>();
  for (const int64_t count : {heads, int64_t{1}})
    for (const int64_t turned : {channels, width}) {
      const Tensor angles = angles_of(rows, turned);
      const Rotary rotary = tables(angles);
      Tensor x = before.clone();
      norm_rotate({x.raw(), DType::f32, rows, stride, count, width / count}, &norm, &rotary);
      expect_rows(x, before, expected(before, norm.weight, width / count, &angles, 0));
    }
}

TEST(NormRotate, BeginsAtAPosition) {
  const Tensor before = Generator(1).randn({rows, stride}), angles = angles_of(rows + 2, channels);
  const Rotary rotary = tables(angles);
  Tensor x = before.clone();
  norm_rotate({x.raw(), DType::f32, rows, stride, heads, channels}, nullptr, &rotary, 2);
  expect_rows(x, before, expected(before, nullptr, 0, &angles, 2));
}

TEST(NormRotate, NormsWithoutPositions) {
  const Tensor before = Generator(1).randn({rows, stride}), weight = Generator(2).randn({channels});
  Norm norm;
  norm.weight = weight.data<float>();
  Tensor x = before.clone();
  norm_rotate({x.raw(), DType::f32, rows, stride, heads, channels}, &norm, nullptr);
  expect_rows(x, before, expected(before, norm.weight, channels, nullptr, 0));
}

TEST(NormRotate, TakesNoRows) {
  Norm norm;
  norm_rotate({nullptr, DType::f32, 0, stride, heads, channels}, &norm, nullptr);
}

}  // namespace
}  // namespace prax::nn::rotary_test

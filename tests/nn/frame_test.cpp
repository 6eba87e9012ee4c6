#include "nn/frame.h"

#include <gtest/gtest.h>

#include <cmath>

namespace prax::nn::frame_test {
namespace {

TEST(Plane, IsTheFrameWithAZeroBorder) {
  const std::vector<float> pixels{1, 2, 3, 4, 5, 6};  // 1 x 3 x 2
  const Frame frame = frame_from(pixels.data(), 1, 3, 2);
  Plane plane = Plane::zeros(1, 3, 4, DType::f32);
  fill_plane(frame, nullptr, plane);
  for (int64_t y = 0; y < 3; ++y)
    for (int64_t x = 0; x < 5; ++x)
      for (int64_t c = 0; c < 4; ++c) {
        const bool inside = y == 1 && x >= 1 && x <= 3 && c < 2;
        EXPECT_EQ(plane.data.data<float>()[plane.offset(y, x) + c],
                  inside ? pixels[static_cast<size_t>((x - 1) * 2 + c)] : 0.0f);
      }
}

TEST(Plane, TakesTheNormOnTheWay) {
  const std::vector<float> pixels{3, 4};
  Plane plane = Plane::zeros(1, 1, 2, DType::f32);
  Norm norm;
  norm.eps = 0;
  fill_plane(frame_from(pixels.data(), 1, 1, 2), &norm, plane);
  const float* p = plane.data.data<float>() + plane.offset(1, 1);
  EXPECT_NEAR(p[0], 3 / std::sqrt(12.5f), 1e-6);
  EXPECT_NEAR(p[1], 4 / std::sqrt(12.5f), 1e-6);
}

TEST(Frame, AddsNoiseByChannel) {
  const std::vector<float> pixels{0, 0, 0, 0};
  Frame frame = frame_from(pixels.data(), 1, 2, 2);
  const float scale[] = {1, 10};
  add_noise(frame, Tensor::from<float>({1, 2}, std::vector<float>{2, 3}), scale);
  EXPECT_EQ(frame.pixel(0, 0)[1], 20);
  EXPECT_EQ(frame.pixel(0, 1)[0], 3);
}

}  // namespace
}  // namespace prax::nn::frame_test

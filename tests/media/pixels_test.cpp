#include "media/pixels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "support.h"

namespace prax::media {
namespace {

TEST(Pixels, BytesAreRoundedAndClamped) {
  EXPECT_EQ(to_byte(0.0f), 0);
  EXPECT_EQ(to_byte(1.0f), 255);
  EXPECT_EQ(to_byte(-3.0f), 0);
  EXPECT_EQ(to_byte(7.0f), 255);
  EXPECT_EQ(to_byte(std::nanf("")), 0);
  EXPECT_EQ(to_byte(std::numeric_limits<float>::infinity()), 255);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(to_byte(static_cast<float>(i) / 255.0f), i);
}

std::vector<int> yuv_of(float r, float g, float b, const YuvRule& rule) {
  std::vector<uint8_t> y(16), u(4), v(4);
  rgb_to_yuv420(plain_frame(4, 4, r, g, b), 4, 4, rule, {{y.data(), u.data(), v.data()}, {4, 2, 2}});
  for (uint8_t value : y) EXPECT_EQ(value, y[0]);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(u[i], u[0]);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(v[i], v[0]);
  return {y[0], u[0], v[0]};
}

// The colour bars of BT.709 in 8 bits (ITU-R BT.1729 and every table of them).
TEST(Pixels, Bt709) {
  const YuvRule rule = YuvRule::bt709();
  EXPECT_EQ(yuv_of(1, 1, 1, rule), (std::vector{235, 128, 128}));
  EXPECT_EQ(yuv_of(0, 0, 0, rule), (std::vector{16, 128, 128}));
  EXPECT_EQ(yuv_of(1, 0, 0, rule), (std::vector{63, 102, 240}));
  EXPECT_EQ(yuv_of(0, 1, 0, rule), (std::vector{173, 42, 26}));
  EXPECT_EQ(yuv_of(0, 0, 1, rule), (std::vector{32, 240, 118}));
}

TEST(Pixels, Jpeg) {
  const YuvRule rule = YuvRule::jpeg();
  EXPECT_EQ(yuv_of(1, 1, 1, rule), (std::vector{255, 128, 128}));
  EXPECT_EQ(yuv_of(1, 0, 0, rule), (std::vector{76, 85, 255}));
  EXPECT_EQ(yuv_of(0, 0, 1, rule), (std::vector{29, 255, 107}));
}

TEST(Pixels, OddSizesRepeatTheEdge) {
  std::vector<uint8_t> y(9), u(4), v(4);
  rgb_to_yuv420(plain_frame(3, 3, 1, 0, 0), 3, 3, YuvRule::bt709(), {{y.data(), u.data(), v.data()}, {3, 2, 2}});
  for (uint8_t value : y) EXPECT_EQ(value, 63);
  for (uint8_t value : v) EXPECT_EQ(value, 240);
}

TEST(Pixels, ShrinkAveragesAreas) {
  const std::vector<float> rgb = {0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1};
  std::vector<float> one(3);
  shrink(rgb, 4, 1, one, 1, 1);
  EXPECT_NEAR(one[0], 0.5f, 1e-6f);
  EXPECT_NEAR(one[1], 0.25f, 1e-6f);
  std::vector<float> same(12);
  shrink(rgb, 4, 1, same, 4, 1);
  EXPECT_EQ(same, rgb);
  std::vector<float> uneven(9);
  shrink(plain_frame(7, 5, 0.5f, 0.25f, 1), 7, 5, uneven, 3, 1);
  for (int i = 0; i < 3; ++i) EXPECT_NEAR(uneven[static_cast<size_t>(3 * i)], 0.5f, 1e-6f);
}

}  // namespace
}  // namespace prax::media

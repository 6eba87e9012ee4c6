#include "media/resize.h"

#include "pattern.h"
#include "support.h"

namespace prax::media {
namespace {

struct Resized {
  int width, height, new_width, new_height;
  Filter filter;
  uint64_t hash;
};

// Hashes of what Pillow makes of pattern(), by tests/data/pictures/make.py.
const Resized resized[] = {
    {40, 30, 20, 15, Filter::nearest, 0x3048eaa66f37081au},  {40, 30, 20, 15, Filter::box, 0x7e5b62a0352979a1u},
    {40, 30, 20, 15, Filter::bilinear, 0x9503f209a7bb6442u}, {40, 30, 20, 15, Filter::hamming, 0x577c1e29b11f0298u},
    {40, 30, 20, 15, Filter::bicubic, 0xabe5a14b8f42faacu},  {40, 30, 20, 15, Filter::lanczos, 0x8f751bfdf307ffe6u},
    {40, 30, 97, 64, Filter::nearest, 0xfe7f59c6dd9ae286u},  {40, 30, 97, 64, Filter::box, 0x4f022ed02cf51894u},
    {40, 30, 97, 64, Filter::bilinear, 0x5f9043a273cdf8f6u}, {40, 30, 97, 64, Filter::hamming, 0x3e3daf943e60007bu},
    {40, 30, 97, 64, Filter::bicubic, 0xd4c72d71d72d0d01u},  {40, 30, 97, 64, Filter::lanczos, 0x95776384a02ec565u},
    {17, 33, 40, 11, Filter::nearest, 0xd6e9ba3b0779f5a8u},  {17, 33, 40, 11, Filter::box, 0xeff0643b84ec2e3eu},
    {17, 33, 40, 11, Filter::bilinear, 0x6acc9a5cf3a00b52u}, {17, 33, 40, 11, Filter::hamming, 0x0f7544424d070ae2u},
    {17, 33, 40, 11, Filter::bicubic, 0xd79fc3f4d5081233u},  {17, 33, 40, 11, Filter::lanczos, 0x04c5564537db652du},
    {33, 17, 11, 40, Filter::nearest, 0x575aa57db029a862u},  {33, 17, 11, 40, Filter::box, 0xe11e00a48ce7fedcu},
    {33, 17, 11, 40, Filter::bilinear, 0x6b98f710764a2eddu}, {33, 17, 11, 40, Filter::hamming, 0xd2c8560884937a06u},
    {33, 17, 11, 40, Filter::bicubic, 0x12fac466117bc1c2u},  {33, 17, 11, 40, Filter::lanczos, 0x5809fe9847a1ecd4u},
    {40, 30, 40, 13, Filter::nearest, 0xd44d2732f9e7775au},  {40, 30, 40, 13, Filter::box, 0x0b0fe154f9117d4bu},
    {40, 30, 40, 13, Filter::bilinear, 0x86c3a25ae54e3104u}, {40, 30, 40, 13, Filter::hamming, 0x54a81f273fbaf7e0u},
    {40, 30, 40, 13, Filter::bicubic, 0xce963e2c412d65b7u},  {40, 30, 40, 13, Filter::lanczos, 0x54004b23feb499ccu},
    {40, 30, 13, 30, Filter::nearest, 0xbf7e9589c9db946eu},  {40, 30, 13, 30, Filter::box, 0xebd53814b7b95188u},
    {40, 30, 13, 30, Filter::bilinear, 0xe771c8347879870eu}, {40, 30, 13, 30, Filter::hamming, 0x5dbb89adf84ea003u},
    {40, 30, 13, 30, Filter::bicubic, 0xabacedd05db34767u},  {40, 30, 13, 30, Filter::lanczos, 0xe8fd1ce8c73916abu},
    {64, 90, 60, 30, Filter::nearest, 0x04f4306d7fdbc76au},  {64, 90, 60, 30, Filter::box, 0xfa843e83231ffb48u},
    {64, 90, 60, 30, Filter::bilinear, 0x45121f7d95273011u}, {64, 90, 60, 30, Filter::hamming, 0x6a3a224f3d168ff6u},
    {64, 90, 60, 30, Filter::bicubic, 0x1b8a07ca490e9ad8u},  {64, 90, 60, 30, Filter::lanczos, 0xb5e2ff29b2020423u},
    {5, 4, 1, 1, Filter::nearest, 0x0e3773188a4c8227u},      {5, 4, 1, 1, Filter::box, 0x1a082717ff85e147u},
    {5, 4, 1, 1, Filter::bilinear, 0x0082a017f132e649u},     {5, 4, 1, 1, Filter::hamming, 0x0987e517f668e7dfu},
    {5, 4, 1, 1, Filter::bicubic, 0x0082a017f132e649u},      {5, 4, 1, 1, Filter::lanczos, 0x0082a017f132e649u},
};

TEST(Resize, EqualsPillow) {
  for (const Resized& r : resized) {
    const Picture picture = resize(pattern(r.width, r.height), r.new_width, r.new_height, r.filter);
    EXPECT_EQ(picture.width, r.new_width);
    EXPECT_EQ(picture.height, r.new_height);
    EXPECT_EQ(hash(picture), r.hash) << r.width << "x" << r.height << " to " << r.new_width << "x" << r.new_height
                                     << " by " << static_cast<int>(r.filter);
  }
}

TEST(Resize, PartsEqualPillow) {
  const Picture picture = pattern(40, 30);
  EXPECT_EQ(hash(resize(picture, 25, 19, Filter::lanczos, {3.25f, 1.5f, 30.75f, 28.5f})), 0x70cb464b0eb2dd4cu);
  EXPECT_EQ(hash(resize(picture, 25, 19, Filter::lanczos, {0, 0.5f, 40, 20})), 0xe9d7352172feac6bu);
}

TEST(Resize, CoverEqualsPillowsFit) {
  EXPECT_EQ(hash(cover(pattern(40, 30), 20, 20)), 0xd19eb4e502c265f7u);
  EXPECT_EQ(hash(cover(pattern(40, 30), 64, 20)), 0xea1068df85f79ed6u);
  EXPECT_EQ(hash(cover(pattern(40, 30), 30, 40)), 0x48c969b6175a8d31u);
}

TEST(Resize, SameSizeIsACopy) { EXPECT_EQ(resize(pattern(9, 7), 9, 7), pattern(9, 7)); }

TEST(Resize, RefusesWhatCannotBe) {
  const Picture picture = pattern(8, 8);
  expect_error(ErrorKind::usage, "0x4", [&] { resize(picture, 0, 4); });
  expect_error(ErrorKind::usage, "not inside", [&] { resize(picture, 4, 4, Filter::box, {0, 0, 9, 8}); });
  expect_error(ErrorKind::usage, "not inside", [&] { resize(picture, 4, 4, Filter::box, {5, 0, 4, 8}); });
  expect_error(ErrorKind::usage, "cubic", [] { filter_named("cubic"); });
  expect_error(ErrorKind::usage, "squeeze", [] { fit_named("squeeze"); });
  EXPECT_EQ(filter_named("linear"), Filter::bilinear);
  EXPECT_EQ(fit_named("default"), Fit::stretch);
}

// Hashes from VaeImageProcessor.resize of diffusers 0.42.1.
TEST(ResizeToFit, EqualsTheReference) {
  EXPECT_EQ(hash(resize_to_fit(pattern(40, 30), 32, 32, Fit::crop)), 0x72b4cd11b25b3073u);
  EXPECT_EQ(hash(resize_to_fit(pattern(40, 30), 64, 24, Fit::crop)), 0x56ee0a831a41156du);
  EXPECT_EQ(hash(resize_to_fit(pattern(40, 30), 32, 32, Fit::fill)), 0x4c5981cc2875f406u);
  EXPECT_EQ(hash(resize_to_fit(pattern(40, 30), 64, 24, Fit::fill)), 0xf49762373a1c4b46u);
  EXPECT_EQ(hash(resize_to_fit(pattern(40, 30), 24, 40, Fit::stretch)), 0xa5977c1958ddb1bbu);
  EXPECT_EQ(hash(resize_to_fit(pattern(30, 40), 33, 20, Fit::fill)), 0xb719f7f3009a0e44u);
  EXPECT_EQ(hash(resize_to_fit(pattern(31, 40), 20, 33, Fit::crop)), 0x9ba3d8c27d27d9bbu);
}

TEST(ModelRange, IsInTheReferencesOrderOfRounding) {
  Picture picture(256, 1);
  for (int i = 0; i < 256; ++i) picture.rgb[static_cast<size_t>(i) * 3] = static_cast<uint8_t>(i);
  const Tensor range = to_model_range(picture);
  ASSERT_EQ(range.shape(), (Shape{1, 256, 3}));
  for (int i = 0; i < 256; ++i) {
    volatile float unit = static_cast<float>(i) / 255.0f;
    volatile float twice = 2.0f * unit;
    EXPECT_EQ(range.data<float>()[i * 3], twice - 1.0f);
  }
  // torch: 2.0 * (torch.tensor(77.) / 255) - 1
  EXPECT_EQ(range.data<float>()[77 * 3], -0.39607840776443481f);
}

TEST(ModelRange, ClipsHaveOneSize) {
  const std::vector<Picture> frames = {pattern(8, 6), pattern(8, 6)};
  const Tensor clip = to_model_range(frames);
  ASSERT_EQ(clip.shape(), (Shape{2, 6, 8, 3}));
  EXPECT_EQ(clip.data<float>()[6 * 8 * 3 + 5], to_model_range(frames[1]).data<float>()[5]);
  expect_error(ErrorKind::input, "8x6 and 6x8", [] { to_model_range(std::vector{pattern(8, 6), pattern(6, 8)}); });
  expect_error(ErrorKind::input, "no frames", [] { to_model_range(std::vector<Picture>{}); });
}

TEST(Preprocess, RoundsDownToMultiples) {
  const Picture picture = pattern(45, 37);
  const Tensor own = preprocess(picture, 0, 0, 8);
  ASSERT_EQ(own.shape(), (Shape{32, 40, 3}));
  const Tensor wanted = to_model_range(resize(picture, 40, 32));
  for (int64_t i = 0; i < own.numel(); ++i) ASSERT_EQ(own.data<float>()[i], wanted.data<float>()[i]);
  const std::vector<Picture> frames = {pattern(45, 37), pattern(20, 20)};
  EXPECT_EQ(preprocess_video(frames, 0, 0, 16).shape(), (Shape{2, 32, 32, 3}));
  EXPECT_EQ(preprocess_video(frames, 24, 17, 8).shape(), (Shape{2, 16, 24, 3}));
  expect_error(ErrorKind::usage, "too small", [&] { preprocess(picture, 7, 40, 8); });
}

// Values from torch 2.13.
TEST(Interpolate, BilinearEqualsTorch) {
  const std::vector<float> planes = {
      0.0f,         0.370000005f, 0.74000001f,  0.110000014f,  0.480000019f, 0.850000024f, 0.220000029f, 0.590000153f,
      0.960000038f, 0.329999924f, 0.700000048f, 0.0700001717f, 0.440000057f, 0.809999943f, 0.180000305f, 0.550000191f,
      0.920000076f, 0.289999962f, 0.659999847f, 0.0300002098f, 0.400000095f, 0.769999981f, 0.140000343f, 0.510000229f};
  const std::vector<float> wanted = {
      0.0616666749f, 0.555000007f, 0.214999914f, 0.253666699f, 0.547000051f, 0.340333372f, 0.541666687f, 0.535000026f,
      0.528333545f,  0.72966671f,  0.523000002f, 0.316333413f, 0.854999959f, 0.514999986f, 0.175000042f, 0.501666725f,
      0.495000124f,  0.488333613f, 0.627000093f, 0.487000018f, 0.347000152f, 0.815000057f, 0.474999905f, 0.13500005f,
      0.602999985f,  0.463000059f, 0.323000252f, 0.461666763f, 0.455000162f, 0.448333621f};
  const Tensor result = interpolate_bilinear(Tensor::from<float>({2, 3, 4}, planes), 5, 3);
  ASSERT_EQ(result.shape(), (Shape{2, 5, 3}));
  for (size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(result.data<float>()[i], wanted[i], 1e-6f);
}

TEST(Interpolate, NearestEqualsTorch) {
  const std::vector<float> planes = {
      0.0f,         0.370000005f, 0.74000001f,  0.110000014f,  0.480000019f, 0.850000024f, 0.220000029f, 0.590000153f,
      0.960000038f, 0.329999924f, 0.700000048f, 0.0700001717f, 0.440000057f, 0.809999943f, 0.180000305f, 0.550000191f,
      0.920000076f, 0.289999962f, 0.659999847f, 0.0300002098f, 0.400000095f, 0.769999981f, 0.140000343f, 0.510000229f};
  const std::vector<float> wanted = {
      0.0f,         0.0f,         0.370000005f,  0.370000005f, 0.74000001f,  0.74000001f,  0.110000014f,  0.0f,
      0.0f,         0.370000005f, 0.370000005f,  0.74000001f,  0.74000001f,  0.110000014f, 0.480000019f,  0.480000019f,
      0.850000024f, 0.850000024f, 0.220000029f,  0.220000029f, 0.590000153f, 0.480000019f, 0.480000019f,  0.850000024f,
      0.850000024f, 0.220000029f, 0.220000029f,  0.590000153f, 0.960000038f, 0.960000038f, 0.329999924f,  0.329999924f,
      0.700000048f, 0.700000048f, 0.0700001717f, 0.440000057f, 0.440000057f, 0.809999943f, 0.809999943f,  0.180000305f,
      0.180000305f, 0.550000191f, 0.440000057f,  0.440000057f, 0.809999943f, 0.809999943f, 0.180000305f,  0.180000305f,
      0.550000191f, 0.920000076f, 0.920000076f,  0.289999962f, 0.289999962f, 0.659999847f, 0.659999847f,  0.0300002098f,
      0.920000076f, 0.920000076f, 0.289999962f,  0.289999962f, 0.659999847f, 0.659999847f, 0.0300002098f, 0.400000095f,
      0.400000095f, 0.769999981f, 0.769999981f,  0.140000343f, 0.140000343f, 0.510000229f};
  const Tensor result = interpolate_nearest(Tensor::from<float>({2, 3, 4}, planes), 5, 7);
  ASSERT_EQ(result.shape(), (Shape{2, 5, 7}));
  for (size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(result.data<float>()[i], wanted[i], 0.0f);
}

}  // namespace
}  // namespace prax::media

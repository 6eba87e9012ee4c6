#include "media/image.h"

#include "media/reader.h"
#include "support.h"

namespace prax::media {
namespace {

using ImageTest = MediaTest;

TEST_F(ImageTest, PngIsExactToTheByte) {
  const auto rgb = smooth_frame(37, 21, 0);
  write_png(at("a.png"), Tensor::from<float>({21, 37, 3}, rgb), {{"seed", "7"}});
  const Tensor back = read_frames(at("a.png"));
  ASSERT_EQ(back.shape(), (Shape{1, 21, 37, 3}));
  for (size_t i = 0; i < rgb.size(); ++i) ASSERT_NEAR(back.data<float>()[i], rgb[i], 0.5 / 255 + 1e-6);
  EXPECT_EQ(read_settings(at("a.png")), (std::map<std::string, std::string>{{"seed", "7"}}));
  EXPECT_EQ(entries(), 1u);
}

TEST_F(ImageTest, JpegIsNear) {
  const auto rgb = smooth_frame(37, 21, 0);
  const auto jpeg = encode_jpeg(rgb, 37, 21);
  put_bytes(at("a.jpg"), std::string(jpeg.begin(), jpeg.end()));
  const Tensor back = read_frames(at("a.jpg"));
  ASSERT_EQ(back.shape(), (Shape{1, 21, 37, 3}));
  EXPECT_GT(worst_psnr(back), 35);
}

TEST_F(ImageTest, SameBytesEachTime) {
  const auto rgb = smooth_frame(40, 24, 3);
  EXPECT_EQ(encode_png(rgb, 40, 24), encode_png(rgb, 40, 24));
  EXPECT_EQ(encode_jpeg(rgb, 40, 24), encode_jpeg(rgb, 40, 24));
}

TEST_F(ImageTest, MissingFolder) {
  expect_error(ErrorKind::io, "does not exist", [&] { write_png(at("none/a.png"), Tensor::zeros({2, 2, 3})); });
}

}  // namespace
}  // namespace prax::media

#include "media/picture_size.h"

#include <gtest/gtest.h>

#include <string>

namespace prax::media {
namespace {

std::string bytes(std::initializer_list<int> values) {
  std::string text;
  for (const int value : values) text += static_cast<char>(value);
  return text;
}

TEST(PictureSize, OfEachKind) {
  const std::string png =
      bytes({0x89}) + "PNG\r\n\x1a\n" + bytes({0, 0, 0, 13}) + "IHDR" + bytes({0, 1, 0, 0, 0, 0, 2, 1});
  const auto png_size = stated_picture_size(png);
  ASSERT_TRUE(png_size);
  EXPECT_EQ(png_size->width, 65536);
  EXPECT_EQ(png_size->height, 513);
  EXPECT_FALSE(stated_picture_size(png.substr(0, png.size() - 1)));

  const std::string jpeg =
      bytes({0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 1, 2, 0xFF, 0xC4, 0, 3, 9, 0xFF, 0xC2, 0, 17, 8, 1, 2, 3, 4, 3, 0});
  const auto jpeg_size = stated_picture_size(jpeg);
  ASSERT_TRUE(jpeg_size);
  EXPECT_EQ(jpeg_size->width, 0x304);
  EXPECT_EQ(jpeg_size->height, 0x102);

  const std::string webp =
      "RIFF" + bytes({0, 0, 0, 0}) + "WEBPVP8X" + bytes({10, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0, 0, 1, 1, 0});
  const auto webp_size = stated_picture_size(webp);
  ASSERT_TRUE(webp_size);
  EXPECT_EQ(webp_size->width, 256);
  EXPECT_EQ(webp_size->height, 258);
  EXPECT_FALSE(stated_picture_size("GIF89a"));
  EXPECT_FALSE(stated_picture_size(""));
}

}  // namespace
}  // namespace prax::media

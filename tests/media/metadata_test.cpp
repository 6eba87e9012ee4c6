#include "media/metadata.h"

#include <gtest/gtest.h>

#include "media/image.h"
#include "support.h"

namespace prax::media {
namespace {

const Metadata settings = {{"prompt", "a \"fish\" <&> \xc3\xa9\n\xf0\x9f\x90\x9f"}, {"seed", "3"}, {"empty", ""}};

TEST(Metadata, JsonIsAsciiAndReadsBack) {
  const std::string json = to_json(settings);
  for (char c : json) EXPECT_TRUE(c >= ' ' && c <= '~') << static_cast<int>(c);
  EXPECT_EQ(from_json(json), settings);
  EXPECT_EQ(from_json("[1]"), std::nullopt);
  EXPECT_EQ(from_json("{"), std::nullopt);
}

TEST(Metadata, BytesThatAreNoUtf8AreReplaced) {
  EXPECT_EQ(clean_text("a\xff"
                       "b"),
            "a\xef\xbf\xbd"
            "b");
  EXPECT_EQ(clean_text(std::string("a\0b", 3)), "ab");
  EXPECT_TRUE(from_json(to_json({{"prompt", "\xff"}})));
}

TEST(Metadata, TitleIsTheTitleElseThePrompt) {
  EXPECT_EQ(title_of({{"prompt", "fish"}}), "fish");
  EXPECT_EQ(title_of({{"prompt", "fish"}, {"title", "Sea"}}), "Sea");
  EXPECT_EQ(title_of({{"seed", "1"}}), "");
}

TEST(Metadata, PngTextsReadBack) {
  const auto png = png_with_text(encode_png(plain_frame(2, 2, 1, 0, 0), 2, 2), settings);
  const Metadata texts = png_text(png);
  for (const auto& [key, text] : settings) EXPECT_EQ(texts.at("prax:" + key), text);
  EXPECT_EQ(texts.at("Software"), writing_program);
  EXPECT_EQ(texts.at("Title"), settings.at("prompt"));
}

TEST(Metadata, CutPngGivesWhatIsWhole) {
  auto png = png_with_text(encode_png(plain_frame(2, 2, 1, 0, 0), 2, 2), settings);
  for (size_t size = 0; size < png.size(); ++size) png_text(std::span(png).first(size));
  EXPECT_TRUE(png_text({}).empty());
}

TEST(Metadata, GifCommentHasBlocksOfAtMost255) {
  const std::string text(600, 'x');
  const auto bytes = gif_comment(text);
  ASSERT_EQ(bytes.size(), 2 + 600 + 3 + 1u);
  EXPECT_EQ(bytes[0], 0x21);
  EXPECT_EQ(bytes[1], 0xfe);
  EXPECT_EQ(bytes[2], 255);
  EXPECT_EQ(bytes[2 + 256], 255);
  EXPECT_EQ(bytes[2 + 512], 90);
  EXPECT_EQ(bytes.back(), 0);
}

TEST(Metadata, XmpReadsBack) {
  EXPECT_EQ(from_xmp(to_xmp(settings)), settings);
  EXPECT_EQ(from_xmp("<x/>"), std::nullopt);
}

}  // namespace
}  // namespace prax::media

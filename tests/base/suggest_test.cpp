#include "base/suggest.h"

#include <gtest/gtest.h>

namespace prax {
namespace {

TEST(NearestWord, FindsWhatWasMeant) {
  const std::vector<std::string> words{"width", "height", "num_frames", "num_inference_steps", "guidance_scale"};
  EXPECT_EQ(nearest_word("widht", words), "width");
  EXPECT_EQ(nearest_word("hieght", words), "height");
  EXPECT_EQ(nearest_word("num_frame", words), "num_frames");
  EXPECT_EQ(nearest_word("guidance", words), "guidance_scale");
  EXPECT_EQ(nearest_word("steps", words), "num_inference_steps");
  EXPECT_EQ(nearest_word("zebra", words), "");
  EXPECT_EQ(nearest_word("x", words), "");
}

}  // namespace
}  // namespace prax

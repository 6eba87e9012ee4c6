#include "base/suggest.h"

#include <gtest/gtest.h>

#include <chrono>

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

TEST(NearestWord, SpendsNoTimeOnWordsOfNobody) {
  const std::vector<std::string> words(100, std::string(80, 'a'));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(nearest_word(std::string(5'000'000, 'a'), words), "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
}

}  // namespace
}  // namespace prax

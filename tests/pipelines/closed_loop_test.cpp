#include "pipelines/closed_loop.h"

#include "pipelines/pipeline_support.h"

namespace prax {
namespace {

//! What a clip of frames of one grey value each becomes.
std::vector<float> closed(const std::vector<float>& greys, int64_t over) {
  test::NoSink sink;
  pipelines::ClosedLoop loop(over, sink);
  loop.begin({1, 1, static_cast<int64_t>(greys.size()), 25});
  for (float grey : greys) loop.frame(std::vector<float>(3, grey));
  loop.finish();
  EXPECT_TRUE(sink.finished);
  std::vector<float> out;
  for (size_t i = 0; i < sink.pixels.size(); i += 3) out.push_back(sink.pixels[i]);
  return out;
}

void expect_near(const std::vector<float>& got, const std::vector<float>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-6) << i;
}

TEST(ClosedLoop, SpreadsWhatIsLeftOverTheEnd) {
  expect_near(closed({0.5f, 0.6f, 0.7f, 0.7f, 0.7f, 0.7f, 0.7f}, 4), {0.5f, 0.6f, 0.7f, 0.65f, 0.6f, 0.55f, 0.5f});
}

TEST(ClosedLoop, LeavesWhatIsClosedAsItIs) {
  const std::vector<float> greys{0.25f, 0.5f, 1.0f, 0.0f, 0.25f};
  expect_near(closed(greys, 3), greys);
}

TEST(ClosedLoop, StaysWithinWhatCanBeShown) { expect_near(closed({1.0f, 1.0f, 0.9f}, 2), {1.0f, 1.0f, 1.0f}); }

TEST(ClosedLoop, TakesClipsThatAreShorterThanItsEnd) {
  expect_near(closed({0.5f}, 8), {0.5f});
  expect_near(closed({0.5f, 0.7f}, 8), {0.5f, 0.5f});
}

}  // namespace
}  // namespace prax

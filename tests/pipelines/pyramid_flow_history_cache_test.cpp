#include "pipelines/pyramid_flow/history_cache.h"

#include "pipelines/pyramid_flow/latents.h"
#include "pipelines/pyramid_flow_support.h"
#include "support/tensors.h"

namespace prax {
namespace {

using pipelines::pyramid_flow::frames_of;
using pipelines::pyramid_flow::history_of;
using pipelines::pyramid_flow::HistoryCache;
using pipelines::pyramid_flow::settled_frames;

//! The first frames of a history one by one.
std::vector<Tensor> first_frames(const std::vector<Tensor>& history, int64_t count) {
  std::vector<Tensor> frames;
  for (const Tensor& clip : history)
    for (int64_t t = 0; t < clip.dim(1) && static_cast<int64_t>(frames.size()) < count; ++t)
      frames.push_back(frames_of(clip, t, t + 1));
  return frames;
}

TEST(PyramidFlowHistory, SettledFramesStayAsTheyAre) {
  constexpr int64_t stages = 3, most = 6;
  const Tensor all = Generator(1).randn({2, most, 8, 16});
  for (int64_t stage = 0; stage < stages; ++stage)
    for (int64_t clean = 1; clean < most; ++clean) {
      const int64_t settled = settled_frames(clean, stage);
      const auto now = history_of(frames_of(all, 0, clean), stage, stages);
      const auto next = history_of(frames_of(all, 0, clean + 1), stage, stages);
      const auto a = first_frames(now, settled), b = first_frames(next, settled);
      ASSERT_EQ(static_cast<int64_t>(a.size()), settled);
      for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(test::same(a[i], b[i])) << stage << " " << clean << " " << i;
      // And no more than those, beside a first frame that has not been halved to the lowest resolution yet.
      if (stage == 0) continue;
      const auto more = first_frames(now, settled + 1), later = first_frames(next, settled + 1);
      EXPECT_FALSE(test::same(more.back(), later.back())) << stage << " " << clean;
    }
}

TEST(PyramidFlowHistory, GrantsWhatThereIsRoomFor) {
  HistoryCache cache(1000);
  auto& a = cache.at(0, 0, 0);
  EXPECT_EQ(cache.grant(a, 0, 10), 0);
  EXPECT_EQ(cache.grant(a, 60, 10), 60);
  a.tokens = 60;
  EXPECT_EQ(&cache.at(0, 0, 0), &a);
  auto& b = cache.at(0, 0, 1);
  EXPECT_EQ(b.tokens, 0);
  EXPECT_EQ(cache.grant(b, 50, 10), 0);
  EXPECT_EQ(cache.grant(b, 30, 10), 30);
  EXPECT_EQ(cache.grant(a, 70, 10), 70);
  EXPECT_EQ(cache.grant(a, 60, 10), 60);
  a.tokens = 70;
  EXPECT_EQ(cache.grant(a, 71, 10), 70);
  EXPECT_EQ(HistoryCache(0).grant(b, 1, 10), 0);
}

TEST(PyramidFlowHistory, TakesBackWhatWasNotUsed) {
  HistoryCache cache(1000);
  auto& a = cache.at(0, 0, 0);
  EXPECT_EQ(cache.grant(a, 60, 10), 60);
  cache.give_back(a, 60, 10);  // a spared call
  EXPECT_EQ(cache.grant(a, 100, 10), 100);
  a.tokens = 100;
  cache.give_back(a, 100, 10);
  EXPECT_EQ(cache.grant(cache.at(0, 0, 1), 1, 10), 0);
}

class PyramidFlowHistoryRun : public testing::TestWithParam<std::string> {};

TEST_P(PyramidFlowHistoryRun, MemoryChangesNoBit) {
  const test::Golden golden = test::pyramid_flow_golden(GetParam());
  auto request = test::case_request(golden);
  request.arguments["temp"] = 4;
  test::on_every_isa([&] {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const auto pipeline = test::load_case(golden, dtype);
      std::vector<Tensor> latents;
      for (const double gigabytes : {0.0, 1.5e-4, 2.0}) {
        request.arguments["history_memory"] = gigabytes;
        pipelines::Run run = pipeline->begin(request);
        pipeline->denoise(run, {});
        latents.push_back(run.state.at("clean"));
      }
      EXPECT_EQ(latents[0].dim(1), 4);
      EXPECT_TRUE(test::same(latents[1], latents[0])) << prax::name_of(dtype);
      EXPECT_TRUE(test::same(latents[2], latents[0])) << prax::name_of(dtype);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Cases, PyramidFlowHistoryRun, testing::Values("flux_t2v", "mmdit_t2v"));

}  // namespace
}  // namespace prax

#include "pipelines/memory_forecast.h"

#include <cstring>

#include "pipelines/memory_plan.h"
#include "support/golden.h"

namespace prax::pipelines {
namespace {

const std::filesystem::path nano = std::filesystem::path(PRAX_SOURCE_DIR) / "models/nano";

Request small_clip() {
  Request request;
  request.prompt = "a red balloon";
  request.seed = 3;
  request.arguments = {{"width", 64}, {"height", 64}, {"num_frames", 9}, {"num_inference_steps", 1}};
  return request;
}

TEST(MemoryForecast, WeightsThatStayInTheFileGiveTheSameBitsAndTakeLess) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::i8}) {
    LoadOptions options;
    options.dtype = dtype;
    const auto latents = [&](const LoadOptions& o) {
      const auto pipeline = load(nano, o);
      pipelines::Run run = pipeline->begin(small_clip());
      pipeline->denoise(run, {});
      return run.latents;
    };
    const Tensor whole = latents(options);
    [[maybe_unused]] const uint64_t all = forecast_memory(nano, options, small_clip()).anonymous("denoise");
    for (const uint64_t packed : {uint64_t{1} << 20, uint64_t{0}}) {
      options.packed_weights = packed;
      const Tensor some = latents(options);
      EXPECT_EQ(std::memcmp(some.raw(), whole.raw(), whole.bytes()), 0) << packed;
#ifndef __SANITIZE_ADDRESS__  // it holds freed memory back, which counts as what the process has already
      EXPECT_LT(forecast_memory(nano, options, small_clip()).anonymous("denoise"), all);
#endif
    }
  }
}

TEST(MemoryForecast, GrowsWithTheClip) {
  Request larger = small_clip();
  larger.arguments["width"] = larger.arguments["height"] = 256;
  const auto small = forecast_memory(nano, {}, small_clip()), large = forecast_memory(nano, {}, larger);
  for (const char* stage : {"denoise", "decode"}) EXPECT_GT(large.anonymous(stage), small.anonymous(stage));
  EXPECT_EQ(large.format.width, 256);
  EXPECT_EQ(large.largest().anonymous, large.anonymous());
}

TEST(MemoryPlan, RefusesWhatDoesNotFit) { EXPECT_THROW(plan_memory(nano, {}, small_clip(), 1'000'000, true), Error); }

}  // namespace
}  // namespace prax::pipelines

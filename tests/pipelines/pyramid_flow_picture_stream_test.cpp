#include "pipelines/pyramid_flow/picture_stream.h"

#include <unistd.h>

#include "pipelines/pyramid_flow_support.h"
#include "support/stopped_run.h"

namespace prax {
namespace {

using pipelines::Monitor;
using PipelineRun = pipelines::Run;
using test::case_request;

//! Keeps a clip where the test can see it while it is made.
struct Clip : media::FrameSink {
  void begin(const media::VideoFormat& f) override { format = f; }
  void frame(std::span<const float> rgb) override {
    pixels.insert(pixels.end(), rgb.begin(), rgb.end());
    ++frames;
  }
  void finish() override { finished = true; }
  media::VideoFormat format;
  std::vector<float> pixels;
  int64_t frames = 0;
  bool finished = false;
};

struct Forward : media::FrameSink {
  explicit Forward(Clip& clip) : to(clip) {}
  void begin(const media::VideoFormat& f) override { to.begin(f); }
  void frame(std::span<const float> rgb) override { to.frame(rgb); }
  void finish() override { to.finish(); }
  Clip& to;
};

pipelines::OpenSink into(Clip& clip) {
  return [&clip](int64_t) { return std::make_unique<Forward>(clip); };
}

std::vector<float> decoded_at_the_end(pipelines::Pipeline& pipeline, const pipelines::Request& request) {
  PipelineRun run = pipeline.begin(request);
  pipeline.denoise(run, {});
  Clip clip;
  pipeline.decode(run, 0, clip, {});
  return clip.pixels;
}

class PyramidFlowStream : public testing::TestWithParam<std::string> {};

TEST_P(PyramidFlowStream, GivesTheFramesOfAUnitWhileLaterOnesAreNoise) {
  const test::Golden golden = test::pyramid_flow_golden(GetParam());
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const auto pipeline = test::load_case(golden, dtype);
    const auto request = case_request(golden);
    const auto want = decoded_at_the_end(*pipeline, request);
    PipelineRun run = pipeline->begin(request);
    Clip clip;
    Monitor monitor;
    int64_t units_before = run.state.contains("clean") ? 1 : 0;
    monitor.after_step = [&](const PipelineRun& r) {
      // What was final before this step has been decoded, and nothing else.
      EXPECT_EQ(clip.frames, units_before == 0 ? 0 : 8 * (units_before - 1) + 1) << "step " << r.step;
      const auto clean = r.state.find("clean");
      units_before = clean == r.state.end() ? 0 : clean->second.dim(1);
      pipeline->preview(r);  // which uses the decoder, too
    };
    pipeline->generate(run, into(clip), monitor);
    EXPECT_TRUE(clip.finished);
    EXPECT_EQ(clip.frames, clip.format.frames);
    EXPECT_TRUE(clip.pixels == want) << prax::name_of(dtype);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, PyramidFlowStream, testing::ValuesIn(test::pyramid_flow_runs()));

TEST(PyramidFlowStreaming, AnInterruptedRunGivesAllFramesAgain) {
  const test::Golden golden = test::pyramid_flow_golden("flux_t2v");
  auto pipeline = test::load_case(golden);
  const auto request = case_request(golden);
  const auto want = decoded_at_the_end(*pipeline, request);
  const int64_t steps = pipeline->begin(request).steps;
  for (const int64_t stop : {int64_t{1}, steps / 2, steps - 1, steps}) {
    Clip half, whole;
    PipelineRun saved = test::stopped_run(*pipeline, request, stop, [&](PipelineRun& run, const Monitor& monitor) {
      pipeline->generate(run, into(half), monitor);
    });
    EXPECT_FALSE(half.finished);
    if (stop == steps / 2) pipeline = test::load_case(golden);  // another process, or the same one
    pipeline->generate(saved, into(whole), {});
    EXPECT_TRUE(whole.finished);
    EXPECT_TRUE(whole.pixels == want) << "stopped after step " << stop;
  }
}

TEST(PyramidFlowStreaming, CanBeSwitchedOff) {
  const test::Golden golden = test::pyramid_flow_golden("flux_t2v");
  const auto pipeline = test::load_case(golden);
  auto request = case_request(golden);
  const auto want = decoded_at_the_end(*pipeline, request);
  for (const char* way : {"stream", "vae_tiling"}) {
    request = case_request(golden);
    request.arguments[way] = std::string(way) == "vae_tiling";
    PipelineRun run = pipeline->begin(request);
    Clip clip;
    Monitor monitor;
    monitor.after_step = [&](const PipelineRun&) { EXPECT_EQ(clip.frames, 0); };
    pipeline->generate(run, into(clip), monitor);
    EXPECT_TRUE(clip.pixels == want) << way;
  }
}

}  // namespace
}  // namespace prax

#include <fmt/format.h>

#include <cmath>

#include "bench_family.h"

namespace prax::app {

namespace {

//! Drops the frames.
class NoSink : public media::FrameSink {
public:
  void begin(const media::VideoFormat&) override {}
  void frame(std::span<const float>) override {}
  void finish() override {}
};

//! That of the folder's denoiser; null for one that bench does not know.
const Family* family_of(const checkpoint::Folder& folder) {
  for (const Family& family : families())
    for (const Kind& kind : family.kinds)
      for (const auto& component : folder.components())
        if (kind.component == "transformer" && component.class_name == kind.class_name) return &family;
  return nullptr;
}

}  // namespace

std::vector<Measurement> bench_folder(const std::filesystem::path& path, const BenchOptions& o) {
  const auto folder = checkpoint::Folder::open(path);
  const Family* family = family_of(folder);
  MemoryWatch watch;
  pipelines::LoadOptions load;
  load.dtype = o.dtype;
  const auto pipeline = pipelines::load(path, load);
  pipelines::Request request;
  request.prompt = "a red balloon rises over the sea at sunset";
  request.seed = bench_seed;
  if (o.width) request.arguments["width"] = o.width;
  if (o.height) request.arguments["height"] = o.height;
  if (o.frames) request.arguments["num_frames"] = o.frames;
  if (o.text_tokens) request.arguments["max_sequence_length"] = o.text_tokens;
  if (o.steps) request.arguments["num_inference_steps"] = o.steps;

  Times text, step, decode;
  pipelines::Run run;
  const auto clip = [&] {
    const Stopwatch all;
    run = pipeline->begin(request);
    double denoising = NAN, last = NAN;
    pipelines::Monitor monitor;
    monitor.cancel = o.cancel;
    Times steps;
    monitor.progress = [&](const Progress& p) {
      if (p.stage != "denoise") return;
      const double now = all.seconds();
      if (p.step == 0) denoising = now;
      if (p.step > 0) steps.seconds.push_back(now - last);
      last = now;
    };
    pipeline->denoise(run, monitor);
    const double decoding = all.seconds();
    NoSink sink;
    pipeline->decode(run, 0, sink, monitor);
    const double end = all.seconds();
    text.seconds.push_back(denoising);
    if (family && family->steps_differ) {
      steps.seconds = {(decoding - denoising) / static_cast<double>(run.steps)};
    } else if (steps.seconds.size() > 1) {
      steps.seconds.erase(steps.seconds.begin());  // the first step packs the weights
    }
    step.seconds.insert(step.seconds.end(), steps.seconds.begin(), steps.seconds.end());
    decode.seconds.push_back(end - decoding);
    return end;
  };
  clip();  // reads the weights from the disk
  text = step = decode = {};
  const Times whole = repeated(o.repeat, clip);

  const RunOperations count = family && family->of_run ? family->of_run(folder, run) : RunOperations{};
  const bool counted = count.text > 0 && count.step > 0 && count.decode > 0;
  const std::string size = fmt::format("{} frames of {}x{}", run.format.frames, run.format.width, run.format.height);
  const auto part = [&](const std::string& component, const std::string& what, const Times& times, double operations) {
    Measurement r;
    r.component = component;
    r.model = path.filename().string();
    r.what = what;
    r.operations = operations;
    finish(r, times, watch);
    return r;
  };
  return {part("text_encoder", "all prompts of a run", text, count.text),
          part("transformer",
               fmt::format("one denoising step of {}{}, all its passes (guidance takes two)", size,
                           family && family->steps_differ ? " on average" : ""),
               step, count.step),
          part("vae", "decoding " + size, decode, count.decode),
          part("clip", fmt::format("{} in {} steps, from prompt to pixels", size, run.steps), whole,
               counted ? count.text + static_cast<double>(run.steps) * count.step + count.decode : 0)};
}

}  // namespace prax::app

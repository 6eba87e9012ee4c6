#pragma once

#include <map>

#include "pipelines/pipeline.h"
#include "support/errors.h"
#include "support/golden.h"

namespace prax::test {

class NoSink : public media::FrameSink {
public:
  void begin(const media::VideoFormat& f) override { format = f; }
  void frame(std::span<const float> rgb) override { pixels.insert(pixels.end(), rgb.begin(), rgb.end()); }
  void finish() override { finished = true; }
  media::VideoFormat format;
  std::vector<float> pixels;
  bool finished = false;
};

inline std::filesystem::path folder_of(const Golden& golden) {
  return golden.path / golden.json.value("checkpoint", "checkpoint");
}

//! The request of a case, with the pictures and clips beside it.
inline pipelines::Request request_of(const Golden& golden) {
  const auto& json = golden.json;
  pipelines::Request request;
  request.prompt = json.value("prompt", "");
  request.negative_prompt = json.value("negative_prompt", "");
  request.seed = json["seed"];
  if (json.contains("global_seed")) request.global_seed = json["global_seed"].get<uint64_t>();
  request.arguments = json["arguments"];
  if (json.contains("scheduler")) request.arguments["scheduler"] = json["scheduler"];
  const auto beside = [&](const nlohmann::json& name) { return (golden.path / name.get<std::string>()).string(); };
  const auto inputs = json.value("inputs", nlohmann::json::object());
  for (const auto& [key, value] : inputs.items()) {
    if (key == "frames" || key == "loras") continue;
    if (key == "conditions") {
      for (auto condition : value) {
        condition.erase("frames");
        for (const char* kind : {"image", "video"})
          if (condition.contains(kind)) condition[kind] = beside(condition[kind]);
        request.arguments[key].push_back(condition);
      }
    } else if (key == "video") {  // a list of frames, which the condition pipeline reads as a list of clips
      request.arguments[key] = {{"file", beside(value)}, {"frames", 1}};
    } else {
      request.arguments[key] = value.is_string() ? nlohmann::json(beside(value)) : value;
    }
  }
  return request;
}

inline pipelines::LoadOptions exact(const Golden& golden) {
  pipelines::LoadOptions options;
  options.dtype = DType::f32;
  options.reference_class = golden.json["pipeline"];
  for (const auto& lora : golden.json.value("inputs", nlohmann::json::object()).value("loras", nlohmann::json::array()))
    options.loras.push_back({golden.path / lora["file"].get<std::string>(), lora["weight"]});
  return options;
}

//! Everything that a run says of itself, and its frames as "frames".
inline std::map<std::string, Tensor> run_of(pipelines::Pipeline& pipeline, const pipelines::Request& request) {
  std::map<std::string, Tensor> seen;
  pipelines::Monitor monitor;
  monitor.probe = [&](const std::string& name, const Tensor& t) { seen[name] = t; };
  pipelines::Run run = pipeline.begin(request, monitor);
  pipeline.denoise(run, monitor);
  NoSink sink;
  pipeline.decode(run, 0, sink, monitor);
  EXPECT_TRUE(sink.finished);
  const int64_t picture = int64_t{sink.format.width} * sink.format.height * 3;
  const auto frames = static_cast<int64_t>(sink.pixels.size()) / picture;
  EXPECT_EQ(frames, sink.format.frames);
  seen["frames"] = Tensor::from<float>({frames, sink.format.height, sink.format.width, 3}, sink.pixels);
  return seen;
}

//! Denoises a run and decodes it.
inline std::vector<float> frames_of(pipelines::Pipeline& pipeline, pipelines::Run& run) {
  pipeline.denoise(run, {});
  NoSink sink;
  pipeline.decode(run, 0, sink, {});
  return sink.pixels;
}

//! The request is refused as its sender's mistake, in a sentence or with a hint that has the word.
inline void expect_refused(pipelines::Pipeline& pipeline, const pipelines::Request& request, const std::string& word) {
  const std::string said = error_of(ErrorKind::usage, [&] { pipeline.begin(request); });
  EXPECT_TRUE(contains(said, word)) << request.arguments.dump() << " / " << said;
}

}  // namespace prax::test

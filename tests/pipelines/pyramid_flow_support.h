#pragma once

#include <cstdlib>

#include "pipelines/pipeline_support.h"

namespace prax::test {

//! See tests/models/pyramid_flow.h.
inline std::filesystem::path pyramid_flow_cases() {
  const char* other = std::getenv("PRAX_PYRAMID_FLOW_CASES");
  return other ? other : std::filesystem::path(PRAX_TEST_DATA) / "cases" / "pyramid_flow";
}

inline Golden pyramid_flow_golden(const std::string& name) { return Golden((pyramid_flow_cases() / name).string()); }
inline std::filesystem::path case_folder(const Golden& golden) {
  return pyramid_flow_cases() / golden.json["checkpoint"].get<std::string>();
}

inline pipelines::Request case_request(const Golden& golden) {
  const nlohmann::json& c = golden.json;
  pipelines::Request request;
  request.prompt = c["prompt"];
  request.negative_prompt = c["negative_prompt"];
  request.seed = c["default_generator_seed"];
  if (!c["initial_noise_generator_seed"].is_null()) {
    request.global_seed = request.seed;
    request.seed = c["initial_noise_generator_seed"];
  }
  for (const char* name : {"height", "width", "temp", "num_inference_steps", "video_num_inference_steps",
                           "guidance_scale", "video_guidance_scale"})
    if (c.contains(name)) request.arguments[name] = c[name];
  request.arguments["model_variant"] = c["transformer"];
  if (golden.has("image")) request.tensors["input_image"] = golden["image"];
  return request;
}

inline std::unique_ptr<pipelines::Pipeline> load_case(const Golden& golden, DType dtype = DType::f32) {
  return pipelines::load(case_folder(golden), pipelines::LoadOptions{dtype, ""});
}

inline std::vector<std::string> pyramid_flow_runs() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(pyramid_flow_cases())) {
    const std::string name = entry.path().filename();
    if (name.ends_with("_t2v") || name.ends_with("_t2i") || name.ends_with("_i2v")) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace prax::test

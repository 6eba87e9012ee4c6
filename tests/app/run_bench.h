#pragma once

#include <map>

#include "checkpoint/safetensors.h"
#include "run_prax.h"

// Runs `prax bench`, and what its tests count operations from.
namespace prax {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

inline json manifest(const std::string& name) {
  return json::parse(file_text(fs::path(PRAX_SOURCE_DIR) / "manifests" / (name + ".json")));
}

//! The same of a checkpoint's component that has weights.
inline json manifest_of(const fs::path& folder) {
  json model{{"config", json::parse(file_text(folder / "config.json"))}, {"tensors", json::object()}};
  const auto file = checkpoint::SafetensorsFile::open(folder / "diffusion_pytorch_model.safetensors");
  for (const auto& [tensor, entry] : file->entries()) model["tensors"][tensor] = entry.shape;
  return model;
}

inline double product(const json& shape) {
  double p = 1;
  for (const auto& extent : shape) p *= extent.get<double>();
  return p;
}

inline bool holds(const std::string& name, const std::string& part) { return name.find(part) != std::string::npos; }

inline std::map<std::string, json> bench(const std::string& arguments) {
  const Finished run = run_prax("bench --json --repeat 1 " + arguments);
  EXPECT_EQ(run.code, 0) << arguments << "\n" << run.err;
  std::map<std::string, json> parts;
  for (const json& line : run.lines()) parts[line.value("component", "")] = line;
  return parts;
}

inline void expect_sound(const json& line) {
  for (const char* key : {"component", "seconds", "tflops", "peak_share", "peak_bytes", "isa", "threads", "cpu"})
    EXPECT_TRUE(line.contains(key)) << key << " " << line;
  EXPECT_GT(line["seconds"].get<double>(), 0) << line;
  EXPECT_GE(line["median_seconds"].get<double>(), line["seconds"].get<double>() * 0.999) << line;
  EXPECT_NEAR(line["tflops"].get<double>(), line["operations"].get<double>() / line["seconds"].get<double>() / 1e12,
              1e-6 * line["tflops"].get<double>());
  EXPECT_GT(line["peak_share"].get<double>(), 0) << line;
  // The machine may be busier while the peak is measured.
  EXPECT_LT(line["peak_share"].get<double>(), 3) << line;
  EXPECT_GT(line["peak_bytes"].get<double>(), 1e6) << line;
}

}  // namespace
}  // namespace prax

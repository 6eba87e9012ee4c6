#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/cancellation.h"
#include "comparison.h"
#include "manifest.h"
#include "tensor/dtype.h"

namespace prax::app {

//! What to measure. 0 means: the default.
struct BenchOptions {
  DType dtype = DType::bf16;
  int width = 0, height = 0;
  int64_t frames = 0;
  int64_t text_tokens = 0;
  int64_t layers = 0;         //!< of transformer and text encoder; the time is extrapolated to all of them
  int64_t latent_frames = 0;  //!< that are decoded; the time is extrapolated to the clip
  int64_t steps = 0;
  int repeat = 0;                //!< 0: three times, or fewer when one takes long
  std::optional<DType> against;  //!< also compare what comes out with that of this arithmetic
  const CancelToken* cancel = nullptr;
};

//! What a component did at best.
struct Measurement {
  std::string component;  //!< "transformer", "vae", "text_encoder", "latent_upsampler", "clip"
  std::string model;      //!< its name
  std::string what;       //!< one sentence: the work that was timed
  double seconds = 0;     //!< of the fastest run
  double median = 0;      //!< of all runs
  int64_t runs = 0;
  double operations = 0;                 //!< multiplications plus additions of that work; 0 when they cannot be counted
  uint64_t peak_bytes = 0;               //!< most anonymous resident memory of the process meanwhile
  uint64_t peak_tensor_bytes = 0;        //!< most memory held for tensors meanwhile
  int64_t tokens = 0, text_tokens = 0;   //!< 0 where there are none
  int64_t layers = 0, all_layers = 0;    //!< measured of how many, 0 where there are none
  std::string extrapolated;              //!< from what; empty when all was measured
  std::optional<Difference> difference;  //!< of what came out from that of BenchOptions::against
};

//! The component that a manifest's class is ("transformer" ...); "" for a class that cannot be measured.
std::string component_of(const Manifest& manifest);

//! The options with what they leave open as the models were made for: clip and text are the transformer's where there
//! is one.
BenchOptions completed(const std::vector<Manifest>& manifests, BenchOptions options);

//! Measures a component with random weights of its real shapes. Error(usage) for a size that the model cannot make,
//! Error(resource) before anything is built when the weights would not fit in memory.
Measurement bench_component(const Manifest& manifest, const BenchOptions& options);

//! Measures a whole run of a model folder: text, a denoising step, decoding, and the clip.
std::vector<Measurement> bench_folder(const std::filesystem::path& folder, const BenchOptions& options);

}  // namespace prax::app

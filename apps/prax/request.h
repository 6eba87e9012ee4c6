#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/lora.h"
#include "pipelines/intent.h"
#include "pipelines/pipeline.h"

namespace prax::app {

//! The flags of `generate` that say what to make, as they were typed.
struct RequestFlags {
  std::string prompt, prompt_file, negative, size;
  std::optional<int64_t> frames, steps;
  std::optional<double> fps, guidance;
  std::optional<std::string> seed, cache;
  std::vector<std::string> set;
  // What is made from pictures and clips.
  std::string image, video, extend, upscale;
  std::vector<std::string> conditions, shots, loras;
  std::optional<double> strength;
  bool loop = false;
  bool promptless = false;  //!< the model has no text encoder
};

//! The request that the flags make. A seed is drawn when there is none. Error(usage) for a prompt that is missing,
//! empty or no UTF-8, a size that is none, a `--set` without a value, and one value given twice; Error(io) for a
//! prompt file that cannot be read.
pipelines::Request make_request(const RequestFlags& flags);

//! What the flags ask for beside the prompt, with absolute paths. Error(usage) for a condition, shot or strength that
//! is none, Error(io) for files that are not there.
pipelines::Intent make_intent(const RequestFlags& flags);

//! The LoRA files of `--lora FILE[:WEIGHT]`.
std::vector<checkpoint::LoraRequest> make_loras(const std::vector<std::string>& flags);

}  // namespace prax::app

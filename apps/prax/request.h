#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipelines/pipeline.h"

namespace prax::app {

//! The flags of `generate` that say what to make, as they were typed.
struct RequestFlags {
  std::string prompt, prompt_file, negative, size;
  std::optional<int64_t> frames, steps;
  std::optional<double> fps, guidance;
  std::optional<std::string> seed;
  std::vector<std::string> set;
};

//! The request that the flags make. A seed is drawn when there is none. Error(usage) for a prompt that is missing,
//! empty or no UTF-8, a size that is none, a `--set` without a value, and one value given twice; Error(io) for a
//! prompt file that cannot be read.
pipelines::Request make_request(const RequestFlags& flags);

}  // namespace prax::app

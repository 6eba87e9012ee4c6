#pragma once

#include <cstdint>
#include <string_view>

namespace prax {

//! Where a long run stands. `stage` is one of "load", "text", "denoise", "decode"; of `quantize` "measure", "write".
struct Progress {
  std::string_view stage;
  int64_t step = 0;   //!< finished steps of this stage
  int64_t steps = 0;  //!< all steps of this stage
};

}  // namespace prax

#pragma once

#include <cstdint>

namespace prax::schedulers {

//! Elements of latents that a thread steps at once.
constexpr int64_t grain = 1 << 15;

}  // namespace prax::schedulers

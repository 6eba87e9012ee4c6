#pragma once

#include <cstdint>
#include <vector>

namespace prax::schedulers {

//! Noise levels that fall slowly and linearly from 1 to 1 - threshold_noise in the first half of the steps, then
//! quadratically towards 0, which is left out. One level a step; {1} for a single step. Reference:
//! linear_quadratic_schedule of diffusers pipelines/ltx/pipeline_ltx_condition.py and
//! pipelines/mochi/pipeline_mochi.py.
std::vector<double> linear_quadratic_schedule(int64_t steps, double threshold_noise = 0.025);

}  // namespace prax::schedulers

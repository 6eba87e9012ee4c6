#include "schedulers/cogvideox_ddim.h"

#include <cmath>

#include "schedulers/grain.h"
#include "tensor/parallel.h"

namespace prax::schedulers {

//! x' = a x + b x0, a = sqrt((1 - alpha') / (1 - alpha)), b = sqrt(alpha') - a sqrt(alpha)
CogVideoXSchedule::Step CogVideoXDDIMScheduler::step(const Tensor& model_output, const Tensor&, int64_t index,
                                                     const Tensor& sample, Generator&) const {
  require_step(model_output, sample);
  const Levels at = levels(index);
  const auto [of_sample, of_original] = in_real([&](auto zero) {
    using Real = decltype(zero);
    const Real now = static_cast<Real>(at.now), next = static_cast<Real>(at.next);
    const Real a = std::sqrt((1 - next) / (1 - now)), b = std::sqrt(next) - std::sqrt(now) * a;
    return std::pair(static_cast<float>(a), static_cast<float>(b));
  });
  const bool divides = options().prediction_type == CogVideoXOptions::Prediction::epsilon;
  if (!std::isfinite(of_sample) || !std::isfinite(of_original) || (divides && at.now == 0)) no_finite_step(index);
  Step out{Tensor::empty(sample.shape()), predicted(model_output, sample, at.now)};
  const float *x = sample.data<float>(), *x0 = out.original.data<float>();
  float* to = out.sample.data<float>();
  parallel_for(sample.numel(), grain, [&, a = of_sample, b = of_original](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] = a * x[i] + b * x0[i];
  });
  return out;
}

}  // namespace prax::schedulers

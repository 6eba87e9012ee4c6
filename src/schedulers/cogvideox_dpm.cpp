#include "schedulers/cogvideox_dpm.h"

#include <cmath>

#include "base/error.h"
#include "schedulers/grain.h"
#include "tensor/parallel.h"

namespace prax::schedulers {

namespace {

struct Multipliers {
  float sample, original, noise;
  float now, before;  //!< of the predictions of this step and of the one before
};

//! Half of the logarithm of the signal's ratio to the noise.
template <typename Real>
Real log_snr(Real alpha) {
  return std::log(std::sqrt(alpha / (1 - alpha)));
}

//! get_variables and get_mult of the reference.
template <typename Real>
Multipliers multipliers(Real now, Real next, bool second_order, Real last) {
  const Real lambda = log_snr(now), h = log_snr(next) - lambda;
  Multipliers m{};
  m.sample = static_cast<float>(std::sqrt((1 - next) / (1 - now)) * std::exp(-h));
  m.original = static_cast<float>(std::expm1(-2 * h) * std::sqrt(next));
  m.noise = static_cast<float>(std::sqrt(1 - next) * std::sqrt(1 - std::exp(-2 * h)));
  if (second_order) {
    const Real r = (lambda - log_snr(last)) / h;
    m.now = static_cast<float>(1 + 1 / (2 * r));
    m.before = static_cast<float>(1 / (2 * r));
  }
  return m;
}

}  // namespace

CogVideoXSchedule::Step CogVideoXDPMScheduler::step(const Tensor& model_output, const Tensor& before, int64_t index,
                                                    const Tensor& sample, Generator& generator) const {
  require_step(model_output, sample);
  const Levels at = levels(index);
  if (before.defined()) {
    require_step(before, sample);
    if (index == 0) throw Error(ErrorKind::internal, "the first step of a schedule has none before it");
  }
  const bool second_order = before.defined() && !at.last;
  const double last = second_order ? levels(index - 1).now : 0;
  const Multipliers m = in_real([&](auto zero) {
    using Real = decltype(zero);
    return multipliers<Real>(static_cast<Real>(at.now), static_cast<Real>(at.next), second_order,
                             static_cast<Real>(last));
  });
  for (float v : {m.sample, m.original, m.noise, m.now, m.before})
    if (!std::isfinite(v)) no_finite_step(index);
  if (options().prediction_type == CogVideoXOptions::Prediction::epsilon && at.now == 0) no_finite_step(index);

  Step out{Tensor::empty(sample.shape()), predicted(model_output, sample, at.now)};
  // The reference draws noise for a step of the first order, too, before it takes one of the second.
  Tensor noise = generator.randn(sample.shape());
  if (second_order) noise = generator.randn(sample.shape());
  const float *x = sample.data<float>(), *x0 = out.original.data<float>(), *n = noise.data<float>();
  const float* old = second_order ? before.data<float>() : nullptr;
  float* to = out.sample.data<float>();
  parallel_for(sample.numel(), grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float original = old ? m.now * x0[i] - m.before * old[i] : x0[i];
      to[i] = m.sample * x[i] - m.original * original + m.noise * n[i];
    }
  });
  return out;
}

}  // namespace prax::schedulers

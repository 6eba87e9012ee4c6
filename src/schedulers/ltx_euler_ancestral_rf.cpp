#include "schedulers/ltx_euler_ancestral_rf.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "schedulers/grain.h"
#include "tensor/parallel.h"

namespace prax::schedulers {

namespace {

constexpr float least_sigma = 1e-8f;
constexpr float least_square = 1e-12f;

}  // namespace

LtxEulerAncestralRfOptions LtxEulerAncestralRfOptions::from_config(const checkpoint::Config& config) {
  nlohmann::json values = config.values();
  if (config.class_name() == "LTXEulerAncestralRFScheduler") values.erase("_class_name");
  LtxEulerAncestralRfOptions o;
  o.schedule = FlowMatchEulerOptions::from_config(checkpoint::Config(std::move(values), config.origin()));
  o.eta = config.get("eta", o.eta);
  o.s_noise = config.get("s_noise", o.s_noise);
  return o;
}

LtxEulerAncestralRfScheduler::LtxEulerAncestralRfScheduler(const LtxEulerAncestralRfOptions& options)
    : options_(options) {}

void LtxEulerAncestralRfScheduler::set_timesteps(const TimestepRequest& request) {
  const std::vector<double>& custom = request.sigmas.empty() ? request.timesteps : request.sigmas;
  if (custom.empty()) {
    FlowMatchEulerScheduler base(options_.schedule);
    base.set_timesteps(request);
    sigmas_ = base.sigmas();
    timesteps_ = base.timesteps();
    return;
  }
  std::vector<float> sigmas(custom.begin(), custom.end());
  if (!std::all_of(sigmas.begin(), sigmas.end(), [](float s) { return std::isfinite(s); }))
    throw Error(ErrorKind::usage, "a sigma is not a finite number", "take sigmas between 0 and 1, the last 0");
  sigmas_ = std::move(sigmas);
  timesteps_.clear();
  for (float sigma : sigmas_) timesteps_.push_back(sigma * static_cast<float>(options_.schedule.num_train_timesteps));
}

Tensor LtxEulerAncestralRfScheduler::step(const Tensor& model_output, int64_t index, const Tensor& sample,
                                          Generator* generator) const {
  if (model_output.shape() != sample.shape())
    throw Error(ErrorKind::internal, "the model's output " + to_string(model_output.shape()) +
                                         " does not fit the sample " + to_string(sample.shape()));
  const int64_t levels = static_cast<int64_t>(sigmas_.size());
  if (index < 0 || index >= levels)
    throw Error(ErrorKind::internal, "there is no step " + std::to_string(index) + " in a schedule of " +
                                         std::to_string(std::max<int64_t>(levels - 1, 0)) + " steps");
  if (index == levels - 1) return sample;

  const float sigma = sigmas_[static_cast<size_t>(index)], next = sigmas_[static_cast<size_t>(index) + 1];
  const float eta = static_cast<float>(options_.eta), s_noise = static_cast<float>(options_.s_noise);
  const bool last = std::abs(next) < least_sigma;
  const bool noisy = !last && options_.eta > 0 && options_.s_noise > 0;
  const float down = next * (1 + (next / sigma - 1) * eta);
  const float ratio = down / sigma, rest = 1 - ratio;
  const float alpha = 1 - next, alpha_down = 1 - down;
  const float gain = alpha / (alpha_down + least_square);
  const float variance = next * next - down * down * (alpha * alpha) / (alpha_down * alpha_down + least_square);
  const float renoise = std::sqrt(variance < 0 ? 0 : variance);
  Tensor noise;
  if (noisy) {
    if (!generator) throw Error(ErrorKind::internal, "a step with new noise needs a generator of random numbers");
    noise = generator->randn(sample.shape());
  }

  const Tensor x = sample.to(DType::f32), v = model_output.to(DType::f32);
  Tensor out = Tensor::empty(x.shape());
  const float *xs = x.data<float>(), *vs = v.data<float>(), *ns = noisy ? noise.data<float>() : nullptr;
  float* to = out.data<float>();
  parallel_for(x.numel(), grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float denoised = xs[i] - sigma * vs[i];
      to[i] = last ? denoised : ratio * xs[i] + rest * denoised;
      if (ns) to[i] = gain * to[i] + ns[i] * renoise * s_noise;
    }
  });
  return out.to(sample.dtype());
}

int64_t LtxEulerAncestralRfScheduler::index_for_timestep(float timestep) const {
  const auto first = std::find(timesteps_.begin(), timesteps_.end(), timestep);
  if (first == timesteps_.end())
    throw Error(ErrorKind::usage, "the timestep " + std::to_string(timestep) + " is not in the schedule",
                "take one of the scheduler's timesteps");
  // The second of equal ones, lest a run that begins in the middle of a schedule skips a sigma.
  const auto second = std::find(first + 1, timesteps_.end(), timestep);
  return (second == timesteps_.end() ? first : second) - timesteps_.begin();
}

}  // namespace prax::schedulers

#include "schedulers/cogvideox_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "schedulers/cogvideox_ddim.h"
#include "schedulers/cogvideox_dpm.h"
#include "schedulers/flow_match_euler.h"
#include "schedulers/grain.h"
#include "tensor/parallel.h"

namespace prax::schedulers {

namespace {

//! Enough for any published schedule; tables are as long.
constexpr int64_t most_train_timesteps = 1'000'000;

[[noreturn]] void refuse(const checkpoint::Config& config, const std::string& what, const std::string& hint) {
  const std::string origin = config.origin().empty() ? "scheduler_config.json" : config.origin();
  throw Error(ErrorKind::checkpoint, origin + ": " + what, hint);
}

//! torch.linspace: filled from both ends, each value one fused multiply-add.
template <typename Real>
std::vector<double> torch_linspace(double start, double stop, int64_t n) {
  const Real first = static_cast<Real>(start), last = static_cast<Real>(stop);
  std::vector<double> out(static_cast<size_t>(n), first);
  const Real step = n > 1 ? (last - first) / static_cast<Real>(n - 1) : 0;
  for (int64_t i = 0; i < n && n > 1; ++i)
    out[static_cast<size_t>(i)] =
        i < n / 2 ? std::fma(step, static_cast<Real>(i), first) : std::fma(-step, static_cast<Real>(n - 1 - i), last);
  return out;
}

//! betas_for_alpha_bar with the cosine of Nichol and Dhariwal, arXiv:2102.09672.
std::vector<double> cosine_betas(int64_t n) {
  constexpr double largest = 0.999;
  const auto alpha_bar = [](double t) {
    const double c = std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2);
    return c * c;
  };
  std::vector<double> betas;
  for (int64_t i = 0; i < n; ++i) {
    const double from = static_cast<double>(i) / static_cast<double>(n);
    const double to = static_cast<double>(i + 1) / static_cast<double>(n);
    betas.push_back(std::min(1 - alpha_bar(to) / alpha_bar(from), largest));
  }
  return betas;
}

std::vector<double> betas_of(const CogVideoXOptions& o) {
  if (!o.trained_betas.empty()) return o.trained_betas;
  const int64_t n = o.num_train_timesteps;
  switch (o.beta_schedule) {
    case CogVideoXOptions::BetaSchedule::linear:
      return torch_linspace<float>(o.beta_start, o.beta_end, n);
    case CogVideoXOptions::BetaSchedule::squaredcos_cap_v2:
      return cosine_betas(n);
    case CogVideoXOptions::BetaSchedule::scaled_linear:
      break;
  }
  std::vector<double> betas = torch_linspace<double>(std::sqrt(o.beta_start), std::sqrt(o.beta_end), n);
  for (double& b : betas) b *= b;
  return betas;
}

//! The levels in the reference's own precision. torch.cumprod sums f32 in f64.
template <typename Real>
std::vector<double> levels_of(const CogVideoXOptions& o) {
  std::vector<Real> levels;
  double product = 1;
  for (double beta : betas_of(o)) {
    product *= Real{1} - static_cast<Real>(beta);
    levels.push_back(static_cast<Real>(product));
  }
  const Real scale = static_cast<Real>(o.snr_shift_scale), rest = static_cast<Real>(1 - o.snr_shift_scale);
  for (Real& a : levels) a = a / (scale + rest * a);
  if (o.rescale_betas_zero_snr) {  // arXiv:2305.08891, algorithm 1
    for (Real& a : levels) a = std::sqrt(a);
    const Real first = levels.front(), last = levels.back(), stretch = first / (first - last);
    for (Real& a : levels) {
      a = (a - last) * stretch;
      a *= a;
    }
  }
  return {levels.begin(), levels.end()};
}

//! Whether the reference's levels are f32: only its default schedule is made in f64.
bool is_single(const CogVideoXOptions& o) {
  return !o.trained_betas.empty() || o.beta_schedule != CogVideoXOptions::BetaSchedule::scaled_linear;
}

std::vector<double> noise_levels(const CogVideoXOptions& o) {
  return is_single(o) ? levels_of<float>(o) : levels_of<double>(o);
}

}  // namespace

CogVideoXOptions CogVideoXOptions::from_config(const checkpoint::Config& config, const std::string& class_name) {
  const std::string name = config.class_name();
  if (!name.empty() && name != class_name)
    refuse(config, "the scheduler is \"" + name + "\", not \"" + class_name + "\"",
           "use the scheduler folder that the model was published with");
  CogVideoXOptions o;
  o.num_train_timesteps = config.get("num_train_timesteps", o.num_train_timesteps);
  o.beta_start = config.get("beta_start", o.beta_start);
  o.beta_end = config.get("beta_end", o.beta_end);
  o.trained_betas = config.get("trained_betas", o.trained_betas);
  o.set_alpha_to_one = config.get("set_alpha_to_one", o.set_alpha_to_one);
  o.steps_offset = config.get("steps_offset", o.steps_offset);
  o.rescale_betas_zero_snr = config.get("rescale_betas_zero_snr", o.rescale_betas_zero_snr);
  o.snr_shift_scale = config.get("snr_shift_scale", o.snr_shift_scale);

  const auto schedule = config.get<std::string>("beta_schedule", "scaled_linear");
  if (schedule == "linear") {
    o.beta_schedule = BetaSchedule::linear;
  } else if (schedule == "squaredcos_cap_v2") {
    o.beta_schedule = BetaSchedule::squaredcos_cap_v2;
  } else if (schedule != "scaled_linear") {
    refuse(config, "beta_schedule is \"" + schedule + "\"",
           "it must be \"linear\", \"scaled_linear\" or \"squaredcos_cap_v2\"");
  }
  const auto prediction = config.get<std::string>("prediction_type", "epsilon");
  if (prediction == "sample") {
    o.prediction_type = Prediction::sample;
  } else if (prediction == "v_prediction") {
    o.prediction_type = Prediction::v_prediction;
  } else if (prediction != "epsilon") {
    refuse(config, "prediction_type is \"" + prediction + "\"",
           "it must be \"epsilon\", \"sample\" or \"v_prediction\"");
  }
  const auto spacing = config.get<std::string>("timestep_spacing", "leading");
  if (spacing == "linspace") {
    o.timestep_spacing = Spacing::linspace;
  } else if (spacing == "trailing") {
    o.timestep_spacing = Spacing::trailing;
  } else if (spacing != "leading") {
    refuse(config, "timestep_spacing is \"" + spacing + "\"", "it must be \"leading\", \"linspace\" or \"trailing\"");
  }

  if (o.num_train_timesteps < 1 || o.num_train_timesteps > most_train_timesteps)
    refuse(config, "num_train_timesteps is " + std::to_string(o.num_train_timesteps),
           "it must be between 1 and " + std::to_string(most_train_timesteps));
  if (!o.trained_betas.empty() && static_cast<int64_t>(o.trained_betas.size()) < o.num_train_timesteps)
    refuse(config,
           "there are " + std::to_string(o.trained_betas.size()) + " trained_betas for " +
               std::to_string(o.num_train_timesteps) + " timesteps",
           "there must be one for each");
  const auto levels = noise_levels(o);
  if (!std::all_of(levels.begin(), levels.end(), [](double a) { return a >= 0 && a <= 1; }))
    refuse(config, "its betas, snr_shift_scale and rescale_betas_zero_snr give noise levels outside of 0 to 1",
           "use the scheduler folder that the model was published with");
  return o;
}

CogVideoXSchedule::CogVideoXSchedule(const CogVideoXOptions& options) : options_(options) {
  single_ = is_single(options_);
  alphas_cumprod_ = noise_levels(options_);
  final_alpha_cumprod_ = options_.set_alpha_to_one ? 1.0 : alphas_cumprod_.front();
  for (int64_t t = options_.num_train_timesteps; t-- > 0;) timesteps_.push_back(t);
}

void CogVideoXSchedule::set_timesteps(int64_t num_inference_steps) {
  const int64_t n = num_inference_steps, train = options_.num_train_timesteps;
  if (n < 1 || n > train)
    throw Error(ErrorKind::usage, "num_inference_steps is " + std::to_string(n),
                "it must be between 1 and " + std::to_string(train) + " for this model's scheduler");
  steps_ = n;
  timesteps_.clear();
  // Numpy rounds halves to the even number.
  const auto rounded = [](double v) { return static_cast<int64_t>(std::nearbyint(v)); };
  switch (options_.timestep_spacing) {
    case CogVideoXOptions::Spacing::linspace:
      for (double t : linspace(0, static_cast<double>(train - 1), n)) timesteps_.push_back(rounded(t));
      std::reverse(timesteps_.begin(), timesteps_.end());
      break;
    case CogVideoXOptions::Spacing::leading:
      for (int64_t i = n; i-- > 0;) timesteps_.push_back(i * (train / n) + options_.steps_offset);
      break;
    case CogVideoXOptions::Spacing::trailing: {  // numpy.arange(train, 0, -train / n)
      const double first = static_cast<double>(train), ratio = first / static_cast<double>(n);
      const int64_t count = static_cast<int64_t>(std::ceil((0.0 - first) / -ratio));
      const double step = (first - ratio) - first;
      for (int64_t i = 0; i < count; ++i) timesteps_.push_back(rounded(first + static_cast<double>(i) * step) - 1);
      break;
    }
  }
}

double CogVideoXSchedule::level(int64_t timestep) const {
  const int64_t n = static_cast<int64_t>(alphas_cumprod_.size());
  if (timestep < -n || timestep >= n)
    throw Error(ErrorKind::checkpoint,
                "the scheduler's timestep " + std::to_string(timestep) + " is not one of training, which ended at " +
                    std::to_string(n - 1),
                "set steps_offset in scheduler_config.json to what the model was published with");
  return alphas_cumprod_[static_cast<size_t>(timestep < 0 ? timestep + n : timestep)];
}

CogVideoXSchedule::Levels CogVideoXSchedule::levels(int64_t index) const {
  if (steps_ == 0 || index < 0 || index >= static_cast<int64_t>(timesteps_.size()))
    throw Error(ErrorKind::internal,
                "there is no step " + std::to_string(index) + " in a schedule of " + std::to_string(steps_) + " steps");
  const int64_t timestep = timesteps_[static_cast<size_t>(index)];
  const int64_t next = timestep - options_.num_train_timesteps / steps_;
  return {level(timestep), next >= 0 ? level(next) : final_alpha_cumprod_, next < 0};
}

void CogVideoXSchedule::require_step(const Tensor& model_output, const Tensor& sample) const {
  if (model_output.shape() != sample.shape() || model_output.dtype() != DType::f32 || sample.dtype() != DType::f32)
    throw Error(ErrorKind::internal, "the model's output " + to_string(model_output.shape()) +
                                         " does not fit the sample " + to_string(sample.shape()) +
                                         ", or they are not f32");
}

void CogVideoXSchedule::no_finite_step(int64_t index) const {
  throw Error(
      ErrorKind::checkpoint,
      "the scheduler's settings give no finite step at timestep " +
          std::to_string(timesteps_[static_cast<size_t>(index)]),
      "a model without a signal at its last timestep (rescale_betas_zero_snr) cannot predict \"epsilon\"; use the "
      "scheduler_config.json that it was published with");
}

Tensor CogVideoXSchedule::predicted(const Tensor& model_output, const Tensor& sample, double now) const {
  if (options_.prediction_type == CogVideoXOptions::Prediction::sample) return model_output;
  const auto [of_signal, of_noise] = in_real([&](auto zero) {
    using Real = decltype(zero);
    const Real alpha = static_cast<Real>(now);
    return std::pair(static_cast<float>(std::sqrt(alpha)), static_cast<float>(std::sqrt(1 - alpha)));
  });
  const bool velocity = options_.prediction_type == CogVideoXOptions::Prediction::v_prediction;
  Tensor out = Tensor::empty(sample.shape());
  const float *x = sample.data<float>(), *v = model_output.data<float>();
  float* to = out.data<float>();
  parallel_for(out.numel(), grain, [&, a = of_signal, b = of_noise](int64_t begin, int64_t end) {
    if (velocity) {
      for (int64_t i = begin; i < end; ++i) to[i] = a * x[i] - b * v[i];
    } else {
      for (int64_t i = begin; i < end; ++i) to[i] = (x[i] - b * v[i]) / a;
    }
  });
  return out;
}

Tensor CogVideoXSchedule::add_noise(const Tensor& sample, const Tensor& noise, int64_t index) const {
  require_step(noise, sample);
  const float alpha = static_cast<float>(levels(index).now);
  const float of_signal = std::sqrt(alpha), of_noise = std::sqrt(1 - alpha);
  Tensor out = Tensor::empty(sample.shape());
  const float *x = sample.data<float>(), *n = noise.data<float>();
  float* to = out.data<float>();
  parallel_for(out.numel(), grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] = of_signal * x[i] + of_noise * n[i];
  });
  return out;
}

std::unique_ptr<CogVideoXSchedule> make_cogvideox_scheduler(const checkpoint::Config& config) {
  const std::string name = config.class_name();
  if (name == "CogVideoXDDIMScheduler") return std::make_unique<CogVideoXDDIMScheduler>(config);
  if (name == "CogVideoXDPMScheduler") return std::make_unique<CogVideoXDPMScheduler>(config);
  refuse(config, "the scheduler is \"" + name + "\"",
         "CogVideoX runs with \"CogVideoXDDIMScheduler\" or \"CogVideoXDPMScheduler\"");
}

}  // namespace prax::schedulers

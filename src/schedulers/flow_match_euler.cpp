#include "schedulers/flow_match_euler.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "schedulers/beta_distribution.h"
#include "schedulers/grain.h"
#include "tensor/parallel.h"

namespace prax::schedulers {

namespace {

std::optional<double> optional_number(const checkpoint::Config& config, const std::string& key) {
  if (!config.has(key)) return std::nullopt;
  return config.get<double>(key, 0);
}

[[noreturn]] void bad_config(const checkpoint::Config& config, const std::string& what, const std::string& hint) {
  const std::string origin = config.origin().empty() ? "scheduler_config.json" : config.origin();
  throw Error(ErrorKind::checkpoint, origin + ": " + what, hint);
}

void require_same_shape(const Tensor& a, const Tensor& b, const char* what) {
  if (a.shape() != b.shape())
    throw Error(ErrorKind::internal,
                std::string(what) + " " + to_string(a.shape()) + " does not fit the sample " + to_string(b.shape()));
}

//! Calls fn with a function that rounds a float to the dtype: what torch does after each operation on such tensors.
template <typename Fn>
void with_rounding(DType dtype, Fn&& fn) {
  switch (dtype) {
    case DType::f32:
      return fn([](float v) { return v; });
    case DType::bf16:
      return fn([](float v) { return static_cast<float>(bfloat16(v)); });
    case DType::f16:
      return fn([](float v) { return static_cast<float>(float16(v)); });
    default:
      throw Error(ErrorKind::internal, "no scheduler step in " + std::string(name_of(dtype)));
  }
}

//! Calls fn(row, begin, end) for the parts of each row of `width` elements, in parallel.
template <typename Fn>
void for_rows(int64_t count, int64_t width, Fn&& fn) {
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t row = begin / width;
      const int64_t stop = std::min(end, (row + 1) * width);
      fn(row, begin, stop);
      begin = stop;
    }
  });
}

//! Where each row of a sample comes from and goes to.
struct NoiseLevels {
  std::vector<float> current, next;
  int64_t width = 0;  //!< elements that share a level
  size_t at(int64_t row) const { return static_cast<size_t>(row) % current.size(); }
};

//! current: timestep / num_train_timesteps; next: the largest sigma that is smaller by more than 1e-6, or 0.
NoiseLevels levels_of_tokens(const Tensor& timesteps, const Tensor& sample, int64_t num_train_timesteps,
                             const std::vector<float>& sigmas) {
  const bool fits = timesteps.rank() == 2 && sample.rank() == 3 && timesteps.dim(1) == sample.dim(1) &&
                    (timesteps.dim(0) == sample.dim(0) || timesteps.dim(0) == 1);
  if (!fits)
    throw Error(ErrorKind::internal, "timesteps of tokens " + to_string(timesteps.shape()) + " do not fit the sample " +
                                         to_string(sample.shape()));
  NoiseLevels levels;
  levels.width = sample.dim(2);
  const Tensor values = timesteps.to(DType::f32);
  for (float timestep : values.span<float>()) {
    const float current = timestep / static_cast<float>(num_train_timesteps);
    const float bound = current - 1e-6f;
    float next = 0;
    for (float sigma : sigmas)
      if (sigma < bound) next = std::max(next, sigma);
    levels.current.push_back(current);
    levels.next.push_back(next);
  }
  return levels;
}

}  // namespace

FlowMatchEulerOptions FlowMatchEulerOptions::from_config(const checkpoint::Config& config) {
  const std::string name = config.class_name();
  if (!name.empty() && name != "FlowMatchEulerDiscreteScheduler")
    bad_config(config, "the scheduler is \"" + name + "\", not \"FlowMatchEulerDiscreteScheduler\"",
               "use the scheduler folder that the model was published with");
  FlowMatchEulerOptions o;
  o.num_train_timesteps = config.get("num_train_timesteps", o.num_train_timesteps);
  o.shift = config.get("shift", o.shift);
  o.use_dynamic_shifting = config.get("use_dynamic_shifting", o.use_dynamic_shifting);
  o.base_shift = config.get("base_shift", o.base_shift);
  o.max_shift = config.get("max_shift", o.max_shift);
  o.base_image_seq_len = config.get("base_image_seq_len", o.base_image_seq_len);
  o.max_image_seq_len = config.get("max_image_seq_len", o.max_image_seq_len);
  o.invert_sigmas = config.get("invert_sigmas", o.invert_sigmas);
  o.shift_terminal = optional_number(config, "shift_terminal");
  o.use_karras_sigmas = config.get("use_karras_sigmas", o.use_karras_sigmas);
  o.use_exponential_sigmas = config.get("use_exponential_sigmas", o.use_exponential_sigmas);
  o.use_beta_sigmas = config.get("use_beta_sigmas", o.use_beta_sigmas);
  o.stochastic_sampling = config.get("stochastic_sampling", o.stochastic_sampling);
  o.sigma_min = optional_number(config, "sigma_min");
  o.sigma_max = optional_number(config, "sigma_max");

  const std::string time_shift = config.get<std::string>("time_shift_type", "exponential");
  if (time_shift == "linear") {
    o.time_shift_type = TimeShift::linear;
  } else if (time_shift != "exponential") {
    bad_config(config, "time_shift_type is \"" + time_shift + "\"", "it must be \"exponential\" or \"linear\"");
  }
  if (o.use_karras_sigmas + o.use_exponential_sigmas + o.use_beta_sigmas > 1)
    bad_config(config, "more than one of use_karras_sigmas, use_exponential_sigmas and use_beta_sigmas is true",
               "keep one of them");
  if (o.num_train_timesteps < 1)
    bad_config(config, "num_train_timesteps is " + std::to_string(o.num_train_timesteps), "it must be at least 1");
  return o;
}

FlowMatchEulerScheduler::FlowMatchEulerScheduler(const FlowMatchEulerOptions& options) : options_(options) {
  const int64_t n = options_.num_train_timesteps;
  const float scale = static_cast<float>(n);
  const float shift = static_cast<float>(options_.shift), shift_less_one = static_cast<float>(options_.shift - 1);
  sigmas_.reserve(static_cast<size_t>(n));
  for (int64_t t = n; t >= 1; --t) {
    float sigma = static_cast<float>(t) / scale;
    if (!options_.use_dynamic_shifting) sigma = shift * sigma / (1 + shift_less_one * sigma);
    sigmas_.push_back(sigma);
    timesteps_.push_back(sigma * scale);
  }
  sigma_max_ = sigmas_.front();
  sigma_min_ = sigmas_.back();
}

//! The shift of the noise levels and their stretch to shift_terminal. Real is f32 where the reference's array is: a
//! number of Python takes the type of a numpy array that it meets.
template <typename Real>
std::vector<double> FlowMatchEulerScheduler::shifted(std::vector<Real> sigmas, std::optional<double> mu) const {
  if (options_.use_dynamic_shifting) {
    const bool linear = options_.time_shift_type == FlowMatchEulerOptions::TimeShift::linear;
    const Real weight = static_cast<Real>(linear ? *mu : std::exp(*mu));
    for (Real& s : sigmas) s = weight / (weight + (1 / s - 1));
  } else {
    const Real shift = static_cast<Real>(options_.shift), shift_less_one = static_cast<Real>(options_.shift - 1);
    for (Real& s : sigmas) s = shift * s / (1 + shift_less_one * s);
  }
  const double terminal = options_.shift_terminal.value_or(0);
  if (terminal != 0) {
    const Real scale = (1 - sigmas.back()) / static_cast<Real>(1 - terminal);
    for (Real& s : sigmas) s = 1 - (1 - s) / scale;
  }
  return {sigmas.begin(), sigmas.end()};
}

//! Karras: arxiv.org/abs/2206.00364, equation 5; beta: arxiv.org/abs/2407.12173.
std::vector<double> FlowMatchEulerScheduler::converted(const std::vector<double>& sigmas) const {
  const double low = options_.sigma_min.value_or(sigmas.back());
  const double high = options_.sigma_max.value_or(sigmas.front());
  const int64_t n = static_cast<int64_t>(sigmas.size());
  if (options_.use_karras_sigmas) {
    constexpr double rho = 7.0;
    const double low_root = std::pow(low, 1 / rho), high_root = std::pow(high, 1 / rho);
    std::vector<double> out = linspace(0, 1, n);
    for (double& v : out) v = std::pow(high_root + v * (low_root - high_root), rho);
    return out;
  }
  if (options_.use_exponential_sigmas) {
    std::vector<double> out = linspace(std::log(high), std::log(low), n);
    for (double& v : out) v = std::exp(v);
    return out;
  }
  if (options_.use_beta_sigmas) {
    constexpr double alpha = 0.6, beta = 0.6;
    std::vector<double> out = linspace(0, 1, n);
    for (double& v : out) v = low + beta_quantile(1 - v, alpha, beta) * (high - low);
    return out;
  }
  return sigmas;
}

void FlowMatchEulerScheduler::set_timesteps(const TimestepRequest& request) {
  if (options_.use_dynamic_shifting && !request.mu)
    throw Error(ErrorKind::usage,
                "the model's scheduler shifts its timesteps by the size of the video, but no mu was given",
                "pass mu, or set use_dynamic_shifting to false in scheduler_config.json");
  const size_t n_sigmas = request.sigmas.size(), n_timesteps = request.timesteps.size();
  if (n_sigmas && n_timesteps && n_sigmas != n_timesteps)
    throw Error(ErrorKind::usage,
                "there are " + std::to_string(n_sigmas) + " sigmas and " + std::to_string(n_timesteps) + " timesteps",
                "give as many of one as of the other");
  const size_t n_custom = std::max(n_sigmas, n_timesteps);
  if (!request.num_inference_steps && !n_custom)
    throw Error(ErrorKind::usage, "the number of denoising steps is not given",
                "give num_inference_steps, or lists of sigmas or timesteps");
  const int64_t steps = request.num_inference_steps.value_or(static_cast<int64_t>(n_custom));
  if (steps < 1)
    throw Error(ErrorKind::usage, "num_inference_steps is " + std::to_string(steps), "it must be at least 1");
  if (n_custom && steps != static_cast<int64_t>(n_custom))
    throw Error(ErrorKind::usage,
                "num_inference_steps is " + std::to_string(steps) + ", but " + std::to_string(n_custom) +
                    (n_sigmas ? " sigmas" : " timesteps") + " are given",
                "leave num_inference_steps away, or give as many values");

  const int64_t train_steps = options_.num_train_timesteps;
  const float scale = static_cast<float>(train_steps);
  std::vector<float> timesteps(request.timesteps.begin(), request.timesteps.end());
  std::vector<double> levels;
  if (n_sigmas) {
    levels = shifted(std::vector<float>(request.sigmas.begin(), request.sigmas.end()), request.mu);
  } else if (n_timesteps) {
    std::vector<float> sigmas = timesteps;
    for (float& s : sigmas) s /= scale;
    levels = shifted(std::move(sigmas), request.mu);
  } else {
    const double train = static_cast<double>(train_steps);
    std::vector<double> sigmas = linspace(sigma_max_ * train, sigma_min_ * train, steps);
    for (double& s : sigmas) s /= train;
    levels = shifted(std::move(sigmas), request.mu);
  }
  levels = converted(levels);

  std::vector<float> sigmas(levels.begin(), levels.end());
  if (timesteps.empty() || options_.invert_sigmas) {
    timesteps.clear();
    for (float& s : sigmas) {
      if (options_.invert_sigmas) s = 1 - s;
      timesteps.push_back(s * scale);
    }
  }
  const auto finite = [](float v) { return std::isfinite(v); };
  if (!std::all_of(sigmas.begin(), sigmas.end(), finite) || !std::all_of(timesteps.begin(), timesteps.end(), finite))
    throw Error(ErrorKind::usage,
                "the scheduler's settings give no finite noise levels for " + std::to_string(steps) +
                    (steps == 1 ? " step" : " steps"),
                options_.shift_terminal ? "take at least 2 steps, the first sigma 1 and the last below 1"
                                        : "take sigmas between 0 and 1");
  sigmas.push_back(options_.invert_sigmas ? 1.0f : 0.0f);
  sigmas_ = std::move(sigmas);
  timesteps_ = std::move(timesteps);
}

Tensor FlowMatchEulerScheduler::step(const Tensor& model_output, int64_t index, const Tensor& sample,
                                     Generator* generator, const Tensor* per_token_timesteps) const {
  require_same_shape(model_output, sample, "the model's output");
  const Tensor x = sample.to(DType::f32), v = model_output.to(DType::f32);
  const int64_t count = x.numel();

  NoiseLevels levels;
  if (per_token_timesteps) {
    levels = levels_of_tokens(*per_token_timesteps, x, options_.num_train_timesteps, sigmas_);
  } else {
    if (index < 0 || index + 1 >= static_cast<int64_t>(sigmas_.size()))
      throw Error(ErrorKind::internal, "there is no step " + std::to_string(index) + " in a schedule of " +
                                           std::to_string(timesteps_.size()) + " steps");
    const size_t i = static_cast<size_t>(index);
    levels = {{sigmas_[i]}, {sigmas_[i + 1]}, count};
  }
  Tensor noise;
  if (options_.stochastic_sampling) {
    if (!generator) throw Error(ErrorKind::internal, "stochastic sampling needs a generator of random numbers");
    noise = generator->randn(x.shape());
  }

  Tensor out = Tensor::empty(x.shape());
  const float *xs = x.data<float>(), *vs = v.data<float>(), *ns = noise.defined() ? noise.data<float>() : nullptr;
  float* to = out.data<float>();
  // torch: a single sigma takes the dtype of the tensor that it multiplies; those of tokens are an f32 tensor.
  with_rounding(per_token_timesteps ? DType::f32 : model_output.dtype(), [&](auto rounded) {
    for_rows(count, levels.width, [&](int64_t row, int64_t begin, int64_t end) {
      const float current = levels.current[levels.at(row)], next = levels.next[levels.at(row)];
      if (ns) {
        for (int64_t i = begin; i < end; ++i)
          to[i] = (1 - next) * (xs[i] - rounded(rounded(current) * vs[i])) + next * ns[i];
      } else {
        const float dt = per_token_timesteps ? current - next : next - current;
        for (int64_t i = begin; i < end; ++i) to[i] = xs[i] + rounded(rounded(dt) * vs[i]);
      }
    });
  });
  return per_token_timesteps ? out : out.to(model_output.dtype());
}

Tensor FlowMatchEulerScheduler::scale_noise(const Tensor& sample, int64_t index, const Tensor& noise) const {
  return scale_noise(sample, std::span(&index, 1), noise);
}

Tensor FlowMatchEulerScheduler::scale_noise(const Tensor& sample, std::span<const int64_t> indices,
                                            const Tensor& noise) const {
  require_same_shape(noise, sample, "the noise");
  const int64_t items = static_cast<int64_t>(indices.size());
  if (items == 0 || (items != 1 && (sample.rank() == 0 || items != sample.dim(0))))
    throw Error(ErrorKind::internal,
                std::to_string(items) + " steps do not fit the sample " + to_string(sample.shape()));
  for (int64_t index : indices)
    if (index < 0 || index >= static_cast<int64_t>(sigmas_.size()))
      throw Error(ErrorKind::internal, "there is no noise level " + std::to_string(index) + " in a schedule of " +
                                           std::to_string(sigmas_.size()));
  const Tensor x = sample.to(DType::f32), n = noise.to(sample.dtype()).to(DType::f32);
  Tensor out = Tensor::empty(x.shape());
  const float *xs = x.data<float>(), *ns = n.data<float>();
  float* to = out.data<float>();
  const int64_t count = x.numel();
  with_rounding(sample.dtype(), [&](auto rounded) {
    for_rows(count, std::max<int64_t>(1, count / items), [&](int64_t row, int64_t begin, int64_t end) {
      const float sigma = rounded(sigmas_[static_cast<size_t>(indices[static_cast<size_t>(row)])]);
      const float rest = rounded(1 - sigma);
      for (int64_t i = begin; i < end; ++i) to[i] = rounded(rounded(sigma * ns[i]) + rounded(rest * xs[i]));
    });
  });
  return out.to(sample.dtype());
}

int64_t FlowMatchEulerScheduler::index_for_timestep(float timestep) const {
  const auto first = std::find(timesteps_.begin(), timesteps_.end(), timestep);
  if (first == timesteps_.end())
    throw Error(ErrorKind::usage, "the timestep " + std::to_string(timestep) + " is not in the schedule",
                "take one of the scheduler's timesteps");
  // The second of equal ones, lest a run that begins in the middle of a schedule skips a sigma.
  const auto second = std::find(first + 1, timesteps_.end(), timestep);
  return (second == timesteps_.end() ? first : second) - timesteps_.begin();
}

double calculate_shift(int64_t image_seq_len, int64_t base_seq_len, int64_t max_seq_len, double base_shift,
                       double max_shift) {
  const double slope = (max_shift - base_shift) / static_cast<double>(max_seq_len - base_seq_len);
  const double offset = base_shift - slope * static_cast<double>(base_seq_len);
  return static_cast<double>(image_seq_len) * slope + offset;
}

std::vector<double> linspace(double start, double stop, int64_t count) {
  std::vector<double> out(static_cast<size_t>(std::max<int64_t>(count, 0)));
  const double parts = static_cast<double>(count - 1), difference = stop - start, step = difference / parts;
  for (size_t i = 0; i < out.size(); ++i) {
    const double k = static_cast<double>(i);
    // numpy: where the step underflows to zero it divides first.
    out[i] = start + (count == 1 ? 0 : step != 0 ? k * step : k / parts * difference);
  }
  if (count > 1) out.back() = stop;
  return out;
}

}  // namespace prax::schedulers

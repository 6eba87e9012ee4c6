#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/config.h"
#include "tensor/random.h"
#include "tensor/tensor.h"

namespace prax::schedulers {

//! The keys of scheduler_config.json with the defaults of the reference's class.
struct FlowMatchEulerOptions {
  enum class TimeShift { exponential, linear };

  int64_t num_train_timesteps = 1000;
  double shift = 1.0;
  bool use_dynamic_shifting = false;
  double base_shift = 0.5;
  double max_shift = 1.15;
  int64_t base_image_seq_len = 256;
  int64_t max_image_seq_len = 4096;
  bool invert_sigmas = false;
  std::optional<double> shift_terminal;
  bool use_karras_sigmas = false;
  bool use_exponential_sigmas = false;
  bool use_beta_sigmas = false;
  TimeShift time_shift_type = TimeShift::exponential;
  bool stochastic_sampling = false;
  //! Not arguments of the reference's class, but the three conversions look for them in the config.
  std::optional<double> sigma_min, sigma_max;

  //! Error(checkpoint) for another scheduler's config, a value of the wrong type, an unknown time_shift_type, more than
  //! one of the use_*_sigmas, or num_train_timesteps below 1.
  static FlowMatchEulerOptions from_config(const checkpoint::Config& config);
};

//! What set_timesteps is asked for. Empty lists are absent ones. Custom timesteps come in the scale of training
//! (0..num_train_timesteps), custom sigmas as noise levels (0..1) before the shift.
struct TimestepRequest {
  std::optional<int64_t> num_inference_steps;
  std::vector<double> sigmas;
  std::vector<double> timesteps;
  std::optional<double> mu;  //!< needed with use_dynamic_shifting, see calculate_shift
};

//! Euler steps along the straight paths of flow matching: x' = x + (sigma' - sigma) v.
//! Follows FlowMatchEulerDiscreteScheduler of diffusers 0.42.1 (schedulers/scheduling_flow_match_euler_discrete.py),
//! also in which of its numbers are f32 and which f64. Steps are taken by index, so a run can go on from any.
class FlowMatchEulerScheduler {
public:
  //! With the schedule of training, as the reference has it before set_timesteps: no step can be taken yet at its end.
  explicit FlowMatchEulerScheduler(const FlowMatchEulerOptions& options = {});

  const FlowMatchEulerOptions& options() const { return options_; }

  //! Computes timesteps() and sigmas(). Error(usage) when nothing says how many steps there are, lengths differ, mu is
  //! missing, or no finite noise levels come out.
  void set_timesteps(const TimestepRequest& request);
  //! What the model is told at each step, in 0..num_train_timesteps.
  const std::vector<float>& timesteps() const { return timesteps_; }
  //! Noise levels, one more than timesteps (after set_timesteps): the last is 0, or 1 with invert_sigmas.
  const std::vector<float>& sigmas() const { return sigmas_; }

  //! The latents after step `index` (0 is the first). model_output f32, bf16 or f16 of sample's shape; the result has
  //! its dtype. With stochastic_sampling new noise of sample's shape is drawn from the generator, which must be there.
  //!
  //! per_token_timesteps [B, T] (or [1, T]) gives each token of a sample [B, T, C] a timestep of its own; a token goes
  //! to the next lower sigma of the schedule. As in the reference the step is then sigma - sigma', so the caller passes
  //! the negated velocity, `index` does not matter, and the result is f32.
  //!
  //! Error(internal) for shapes that do not fit and an index outside of the schedule.
  Tensor step(const Tensor& model_output, int64_t index, const Tensor& sample, Generator* generator = nullptr,
              const Tensor* per_token_timesteps = nullptr) const;

  //! sigma noise + (1 - sigma) sample with the sigma of the step `index`, to begin in the middle of a schedule. In
  //! sample's dtype (f32, bf16, f16).
  Tensor scale_noise(const Tensor& sample, int64_t index, const Tensor& noise) const;
  //! The same with a step for each item of the batch (or one for all).
  Tensor scale_noise(const Tensor& sample, std::span<const int64_t> indices, const Tensor& noise) const;

  //! The step that a timestep of timesteps() belongs to; the second of equal ones. Error(usage) when there is none.
  int64_t index_for_timestep(float timestep) const;

private:
  template <typename Real>
  std::vector<double> shifted(std::vector<Real> sigmas, std::optional<double> mu) const;
  std::vector<double> converted(const std::vector<double>& sigmas) const;

  FlowMatchEulerOptions options_;
  float sigma_min_ = 0, sigma_max_ = 1;
  std::vector<float> timesteps_, sigmas_;
};

//! mu of dynamic shifting: linear in the number of latent tokens, base_shift at base_seq_len and max_shift at
//! max_seq_len. Reference: calculate_shift in the pipelines.
double calculate_shift(int64_t image_seq_len, int64_t base_seq_len = 256, int64_t max_seq_len = 4096,
                       double base_shift = 0.5, double max_shift = 1.15);

//! numpy.linspace(start, stop, count) in f64, to the last bit; what pipelines make their default sigmas with.
std::vector<double> linspace(double start, double stop, int64_t count);

}  // namespace prax::schedulers

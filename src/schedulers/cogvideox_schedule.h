#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/config.h"
#include "tensor/random.h"
#include "tensor/tensor.h"

namespace prax::schedulers {

//! The keys of scheduler_config.json that CogVideoXDDIMScheduler and CogVideoXDPMScheduler share, with the defaults of
//! the reference's classes. Their clip_sample, clip_sample_range and sample_max_value are not here, because the
//! reference's steps never look at them.
struct CogVideoXOptions {
  enum class BetaSchedule { linear, scaled_linear, squaredcos_cap_v2 };
  enum class Prediction { epsilon, sample, v_prediction };
  enum class Spacing { linspace, leading, trailing };

  int64_t num_train_timesteps = 1000;
  double beta_start = 0.00085;
  double beta_end = 0.012;
  BetaSchedule beta_schedule = BetaSchedule::scaled_linear;
  std::vector<double> trained_betas;  //!< instead of the schedule, when there are any
  bool set_alpha_to_one = true;
  int64_t steps_offset = 0;
  Prediction prediction_type = Prediction::epsilon;
  Spacing timestep_spacing = Spacing::leading;
  bool rescale_betas_zero_snr = false;
  double snr_shift_scale = 3.0;

  //! Error(checkpoint) for the config of another class than `class_name` (or none), a value of the wrong type, unknown
  //! names, and numbers that give no noise levels.
  static CogVideoXOptions from_config(const checkpoint::Config& config, const std::string& class_name);
};

//! The noise levels of CogVideoX and which of them a run visits: what its two solvers have in common. Follows
//! schedulers/scheduling_ddim_cogvideox.py and scheduling_dpm_cogvideox.py of diffusers 0.42.1, also in which of their
//! numbers are f32 and which f64.
class CogVideoXSchedule {
public:
  explicit CogVideoXSchedule(const CogVideoXOptions& options = {});
  virtual ~CogVideoXSchedule() = default;

  const CogVideoXOptions& options() const { return options_; }

  //! Computes timesteps(). Error(usage) for fewer than one step or more than there are in training.
  void set_timesteps(int64_t num_inference_steps);
  //! What the model is told at each step, falling; those of training before set_timesteps. With "trailing" spacing a
  //! few step counts (61, 103, ...) give one more, -1, as numpy's arange does; it is the noisiest level, as in torch.
  const std::vector<int64_t>& timesteps() const { return timesteps_; }
  //! The share of the clean latents' variance at each timestep of training, shifted and rescaled. All of them are f32
  //! values where the reference computes it so.
  const std::vector<double>& alphas_cumprod() const { return alphas_cumprod_; }

  struct Step {
    Tensor sample;    //!< the latents after the step
    Tensor original;  //!< the clean latents as predicted: `before` of the next step
  };
  //! Step `index` (0 is the first) from the latents `sample`. f32 tensors of one shape. `before` is what the step
  //! before took for the clean latents, undefined in a run's first step. Error(internal) for shapes and steps that do
  //! not fit, Error(checkpoint) where the config gives no finite step.
  virtual Step step(const Tensor& model_output, const Tensor& before, int64_t index, const Tensor& sample,
                    Generator& generator) const = 0;

  //! sqrt(alpha) sample + sqrt(1 - alpha) noise at the level of the step `index`, to begin in the middle of a schedule.
  Tensor add_noise(const Tensor& sample, const Tensor& noise, int64_t index) const;

protected:
  //! Noise levels at a step of the run and where it leads.
  struct Levels {
    double now = 0, next = 0;
    bool last = false;  //!< it leads to the clean latents
  };
  //! Error(internal) for an index outside of the schedule, Error(checkpoint) for a timestep outside of training.
  Levels levels(int64_t index) const;
  //! Calls fn(zero) with a zero of the type that the reference's coefficients are computed in.
  template <typename Fn>
  auto in_real(Fn&& fn) const {
    return single_ ? fn(0.0f) : fn(0.0);
  }
  //! What the model says the clean latents are.
  Tensor predicted(const Tensor& model_output, const Tensor& sample, double now) const;
  void require_step(const Tensor& model_output, const Tensor& sample) const;
  //! Error(checkpoint) where the config gives no finite step.
  [[noreturn]] void no_finite_step(int64_t index) const;

private:
  double level(int64_t timestep) const;

  CogVideoXOptions options_;
  bool single_ = false;  //!< the reference's levels are f32
  std::vector<double> alphas_cumprod_;
  double final_alpha_cumprod_ = 1;
  std::vector<int64_t> timesteps_;
  int64_t steps_ = 0;  //!< that were asked for
};

//! The solver that a scheduler_config.json names. Error(checkpoint) for another than the two of CogVideoX.
std::unique_ptr<CogVideoXSchedule> make_cogvideox_scheduler(const checkpoint::Config& config);

}  // namespace prax::schedulers

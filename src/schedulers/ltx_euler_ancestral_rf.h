#pragma once

#include "schedulers/flow_match_euler.h"

namespace prax::schedulers {

//! The keys of scheduler_config.json with the defaults of the reference's class.
struct LtxEulerAncestralRfOptions {
  //! num_train_timesteps, and what else a schedule without custom sigmas is made with: the reference hands its whole
  //! config to FlowMatchEulerDiscreteScheduler for that.
  FlowMatchEulerOptions schedule;
  double eta = 1.0;      //!< share of the step that is taken back and filled with new noise; 0: none is drawn
  double s_noise = 1.0;  //!< factor of that noise

  //! From a config of this scheduler, or of FlowMatchEulerDiscreteScheduler (from_config of the reference takes both).
  //! Errors as FlowMatchEulerOptions::from_config.
  static LtxEulerAncestralRfOptions from_config(const checkpoint::Config& config);
};

//! Euler steps with fresh noise for flow matching, ComfyUI's sample_euler_ancestral_RF:
//!   x0 = x - sigma v,  x' = a (r x + (1 - r) x0) + s_noise b noise,  r = sigma_down / sigma,
//!   sigma_down = sigma' (1 + (sigma' / sigma - 1) eta),  a = (1 - sigma') / (1 - sigma_down),
//!   b = sqrt(sigma'^2 - sigma_down^2 a^2).
//! Follows LTXEulerAncestralRFScheduler of diffusers 0.42.1 (schedulers/scheduling_ltx_euler_ancestral_rf.py) in f32.
//! Steps are taken by index, so a run can go on from any.
class LtxEulerAncestralRfScheduler {
public:
  explicit LtxEulerAncestralRfScheduler(const LtxEulerAncestralRfOptions& options = {});

  const LtxEulerAncestralRfOptions& options() const { return options_; }

  //! Without sigmas and timesteps: the schedule of FlowMatchEulerScheduler. With either (sigmas go first, and timesteps
  //! are taken as sigmas, too): these noise levels as they are, the last of which should be 0; num_inference_steps then
  //! has no meaning. Error(usage) as FlowMatchEulerScheduler::set_timesteps, and for levels that are not finite.
  void set_timesteps(const TimestepRequest& request);

  //! What the model is told: sigmas in 0..num_train_timesteps. Custom sigmas give one for the last level, too.
  const std::vector<float>& timesteps() const { return timesteps_; }
  //! Noise levels.
  const std::vector<float>& sigmas() const { return sigmas_; }
  //! Steps from level to level.
  int64_t num_inference_steps() const { return static_cast<int64_t>(sigmas_.size()) - 1; }

  //! The latents after step `index`, in sample's dtype; at the last level, the sample. model_output (the velocity) and
  //! sample are f32, bf16 or f16. Noise of sample's shape is drawn from the generator unless the next level is 0 or eta
  //! or s_noise is not positive. Error(internal) for shapes that do not fit, an index outside of the schedule, and a
  //! missing generator.
  Tensor step(const Tensor& model_output, int64_t index, const Tensor& sample, Generator* generator) const;

  //! The step that a timestep of timesteps() belongs to; the second of equal ones. Error(usage) when there is none.
  int64_t index_for_timestep(float timestep) const;

private:
  LtxEulerAncestralRfOptions options_;
  std::vector<float> timesteps_, sigmas_;
};

}  // namespace prax::schedulers

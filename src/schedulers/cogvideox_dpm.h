#pragma once

#include "schedulers/cogvideox_schedule.h"

namespace prax::schedulers {

//! Stochastic steps of the second order (DPM-Solver++ 2M as an SDE: Lu et al., arXiv:2211.01095), as
//! CogVideoXDPMScheduler of diffusers 0.42.1 takes them. A step looks back on what the one before took for the clean
//! latents: a run that goes on in the middle needs that beside the latents.
class CogVideoXDPMScheduler : public CogVideoXSchedule {
public:
  using CogVideoXSchedule::CogVideoXSchedule;
  //! Options of a config of this class; see CogVideoXOptions::from_config.
  explicit CogVideoXDPMScheduler(const checkpoint::Config& config)
      : CogVideoXSchedule(CogVideoXOptions::from_config(config, "CogVideoXDPMScheduler")) {}

  //! Noise of the sample's shape is drawn once in a run's first and in the schedule's last step, else twice.
  Step step(const Tensor& model_output, const Tensor& before, int64_t index, const Tensor& sample,
            Generator& generator) const override;
};

}  // namespace prax::schedulers

#pragma once

#include "schedulers/cogvideox_schedule.h"

namespace prax::schedulers {

//! Deterministic steps of denoising diffusion implicit models (Song et al., arXiv:2010.02502, formulas 12 and 16), as
//! CogVideoXDDIMScheduler of diffusers 0.42.1 takes them. Steps are taken by index, so a run can go on from any.
class CogVideoXDDIMScheduler : public CogVideoXSchedule {
public:
  using CogVideoXSchedule::CogVideoXSchedule;
  //! Options of a config of this class; see CogVideoXOptions::from_config.
  explicit CogVideoXDDIMScheduler(const checkpoint::Config& config)
      : CogVideoXSchedule(CogVideoXOptions::from_config(config, "CogVideoXDDIMScheduler")) {}

  //! Needs nothing of the steps before and draws nothing.
  Step step(const Tensor& model_output, const Tensor& before, int64_t index, const Tensor& sample,
            Generator& generator) const override;
};

}  // namespace prax::schedulers

#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tensor/random.h"
#include "tensor/tensor.h"

namespace prax::schedulers {

//! Arguments of PyramidFlowMatchEulerDiscreteScheduler, with its defaults.
struct PyramidFlowMatchOptions {
  int64_t num_train_timesteps = 1000;
  double shift = 1.0;
  int64_t stages = 3;
  std::vector<double> stage_range = {0, 1.0 / 3.0, 2.0 / 3.0, 1};  //!< of the noise levels, one more than stages
  double gamma = 1.0 / 3.0;  //!< of the covariance of the noise that a new stage begins with
};

//! Flow matching over a pyramid of resolutions (https://arxiv.org/abs/2410.05954): each stage runs from its own noise
//! to its own data, then the latents grow to the next stage's size and get noise that hides the seams of the growing.
//! Follows diffusion_schedulers/scheduling_flow_matching.py of the authors' code, also in which numbers are f32 and
//! which f64.
class PyramidFlowMatchScheduler {
public:
  //! Error(usage) for options that give no stages.
  explicit PyramidFlowMatchScheduler(const PyramidFlowMatchOptions& options = {});

  const PyramidFlowMatchOptions& options() const { return options_; }
  int64_t stages() const { return options_.stages; }

  //! What a stage covers.
  struct Stage {
    double start_sigma = 0, end_sigma = 0;         //!< the start corrected for the noise of the growing
    double original_start_sigma = 0;               //!< without the correction
    double ratio_begin = 0, ratio_end = 0;         //!< its part of all timesteps
    double timestep_first = 0, timestep_last = 0;  //!< told to the model at its first and its last step
    double sigma_last = 0;                         //!< of its last step; that of the first is 1
  };
  const Stage& stage(int64_t index) const { return stages_.at(static_cast<size_t>(index)); }
  //! The noise levels of training, f32, num_train_timesteps of them, falling.
  const std::vector<float>& sigmas() const { return sigmas_; }

  //! The steps of one stage.
  struct Steps {
    std::vector<double> timesteps;
    std::vector<double> sigmas;  //!< one more, the last is 0
  };
  //! Error(usage) for less than one step.
  Steps steps(int64_t stage, int64_t count) const;

  //! The sample after step `index`: sample + (sigma' - sigma) velocity, f32.
  static Tensor step(const Steps& steps, int64_t index, const Tensor& velocity, const Tensor& sample);

  //! The latents that `stage` begins with: those of the stage before [..., height, width] f32, twice as high and wide,
  //! and block noise of that size.
  Tensor enter_stage(int64_t stage, const Tensor& latents, const Tensor& noise) const;

  //! Noise of [..., height, width] f32, both even, whose 2x2 blocks have the covariance (1 + gamma) 1 - gamma: four
  //! standard normal values a block, drawn block by block, times the covariance's Cholesky factor.
  Tensor block_noise(const Shape& shape, Generator& generator) const;
  //! That factor. For the default gamma the covariance is singular; a negative pivot counts as zero.
  const std::array<std::array<float, 4>, 4>& block_factor() const { return factor_; }

private:
  PyramidFlowMatchOptions options_;
  std::vector<float> sigmas_;
  std::vector<Stage> stages_;
  std::array<std::array<float, 4>, 4> factor_{};
};

//! [..., height, width] f32, both even -> half of both, the mean of each 2x2 block times `factor`: what torch's
//! bilinear interpolate makes of it.
Tensor halve_resolution(const Tensor& latents, float factor = 1);

}  // namespace prax::schedulers

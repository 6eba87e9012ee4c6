#pragma once

#include <vector>

#include "pipelines/pyramid_flow/prompts.h"
#include "tensor/tensor.h"

namespace prax::pipelines::pyramid_flow {

//! What stands between the autoencoder's latents and the denoiser's, (z - shift) * scale: numbers of the authors' code,
//! one pair for the first frame and one for all others.
class LatentScale {
public:
  explicit LatentScale(Design design);
  //! Latents [C, T, H, W] whose first frame is frame `first` of the video; to the denoiser's range and back.
  Tensor normalize(const Tensor& latents, int64_t first = 0) const;
  Tensor denormalize(const Tensor& latents, int64_t first = 0) const;

private:
  struct Pair {
    float shift, scale;
  };
  Pair image_, video_;
};

//! Frames [begin, end) of latents [C, T, H, W].
Tensor frames_of(const Tensor& latents, int64_t begin, int64_t end);

//! The clean frames [C, T, H, W] that the denoiser sees beside a noisy frame at `stage` of `stages`, the oldest first:
//! the last one at the stage's own resolution, those before it at lower and lower ones, the rest together at the lowest
//! (generate of the authors' code).
std::vector<Tensor> history_of(const Tensor& clean, int64_t stage, int64_t stages);
//! How many frames of history_of(), counted from the oldest, are the same in the history of all later frames at that
//! stage: those at the lowest resolution.
int64_t settled_frames(int64_t clean_frames, int64_t stage);

}  // namespace prax::pipelines::pyramid_flow

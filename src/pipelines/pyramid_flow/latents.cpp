#include "pipelines/pyramid_flow/latents.h"

#include <algorithm>

#include "schedulers/pyramid_flow_match.h"

namespace prax::pipelines::pyramid_flow {

LatentScale::LatentScale(Design design)
    : image_(design == Design::flux ? Pair{-0.04f, static_cast<float>(1 / 1.8726)}
                                    : Pair{0.1490f, static_cast<float>(1 / 1.8415)}),
      video_{-0.2343f, static_cast<float>(1 / 3.0986)} {}

Tensor LatentScale::normalize(const Tensor& latents, int64_t first) const {
  const int64_t frames = latents.dim(1), plane = latents.dim(2) * latents.dim(3);
  Tensor out = latents.clone();
  for (int64_t i = 0; i < out.numel(); ++i) {
    const Pair& p = first + i / plane % frames == 0 ? image_ : video_;
    out.data<float>()[i] = (out.data<float>()[i] - p.shift) * p.scale;
  }
  return out;
}

Tensor LatentScale::denormalize(const Tensor& latents, int64_t first) const {
  const int64_t frames = latents.dim(1), plane = latents.dim(2) * latents.dim(3);
  Tensor out = latents.clone();
  for (int64_t i = 0; i < out.numel(); ++i) {
    const Pair& p = first + i / plane % frames == 0 ? image_ : video_;
    out.data<float>()[i] = out.data<float>()[i] / p.scale + p.shift;
  }
  return out;
}

Tensor frames_of(const Tensor& latents, int64_t begin, int64_t end) {
  const int64_t channels = latents.dim(0), frames = latents.dim(1), plane = latents.dim(2) * latents.dim(3);
  Tensor out = Tensor::empty({channels, end - begin, latents.dim(2), latents.dim(3)});
  for (int64_t c = 0; c < channels; ++c)
    std::copy_n(latents.data<float>() + (c * frames + begin) * plane, (end - begin) * plane,
                out.data<float>() + c * (end - begin) * plane);
  return out;
}

std::vector<Tensor> history_of(const Tensor& clean, int64_t stage, int64_t stages) {
  std::vector<Tensor> levels(static_cast<size_t>(stages));  // the lowest resolution first
  levels.back() = clean;
  for (size_t i = levels.size() - 1; i-- > 0;) levels[i] = schedulers::halve_resolution(levels[i + 1]);
  const int64_t frames = clean.dim(1);
  std::vector<Tensor> newest_first{frames_of(levels[static_cast<size_t>(stage)], frames - 1, frames)};
  int64_t seen = 1, level = stage - 1;
  for (; level > 0 && seen < frames; --level, ++seen)
    newest_first.push_back(frames_of(levels[static_cast<size_t>(level)], frames - seen - 1, frames - seen));
  if (seen < frames) newest_first.push_back(frames_of(levels[0], 0, frames - seen));
  std::reverse(newest_first.begin(), newest_first.end());
  return newest_first;
}

int64_t settled_frames(int64_t clean_frames, int64_t stage) { return std::max<int64_t>(0, clean_frames - stage); }

}  // namespace prax::pipelines::pyramid_flow

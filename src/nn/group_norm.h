#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "checkpoint/weights.h"
#include "nn/frame.h"

namespace prax::nn {

//! What a norm with known statistics does to a channel: y = x * scale + shift.
struct ChannelAffine {
  std::vector<float> scale, shift;  //!< [channels]
};

//! y = activation(x * scale + shift + residual) for every pixel. The residual may be null.
Frame affine(const Frame& frame, const ChannelAffine& map, kernels::Activation activation,
             const Frame* residual = nullptr);

//! torch.nn.GroupNorm on frames, channels last: the statistics of a group are those of its channels over all pixels of
//! all frames that are given together (a clip, a chunk, or one frame). Sums are f64 and do not depend on the number of
//! threads.
class GroupNorm {
public:
  GroupNorm() = default;
  //! Reads "weight" [channels] and "bias" [channels]. Error(checkpoint) when the groups do not divide the channels.
  GroupNorm(const checkpoint::Weights& weights, int64_t channels, int64_t groups, float eps = 1e-5f);

  int64_t channels() const { return channels_; }

  //! The statistics of frames that come one after another: add() each, then ask.
  class Statistics {
  public:
    explicit Statistics(const GroupNorm& norm) : norm_(norm), sums_(static_cast<size_t>(2 * norm.groups_)) {}
    void add(const Frame& frame);
    //! (x - mean) / sqrt(var + eps) * weight + bias, the variance that of the whole (biased).
    ChannelAffine affine() const;

  private:
    const GroupNorm& norm_;
    std::vector<double> sums_;  //!< of each group: values, then squares
    int64_t pixels_ = 0;
  };

  //! Of frames that are all there.
  ChannelAffine over(std::span<const Frame> frames) const;
  //! The norm of frames that are all there, over all of them.
  std::vector<Frame> operator()(std::span<const Frame> frames, kernels::Activation activation) const;

private:
  int64_t channels_ = 0, groups_ = 1;
  float eps_ = 0;
  Tensor weight_, bias_;
};

}  // namespace prax::nn

#include "pipelines/closed_loop.h"

namespace prax::pipelines {

void ClosedLoop::begin(const media::VideoFormat& format) {
  over_ = std::min(over_, format.frames - 1);
  passing_ = format.frames - over_;
  sink_.begin(format);
}

void ClosedLoop::frame(std::span<const float> rgb) {
  if (at_ == 0) first_.assign(rgb.begin(), rgb.end());
  if (at_++ < passing_) return sink_.frame(rgb);
  end_.emplace_back(rgb.begin(), rgb.end());
}

void ClosedLoop::finish() {
  if (!end_.empty()) {
    std::vector<float> missing = first_;
    for (size_t i = 0; i < missing.size(); ++i) missing[i] -= end_.back()[i];
    for (size_t k = 0; k < end_.size(); ++k) {
      const float share = static_cast<float>(k + 1) / static_cast<float>(end_.size());
      for (size_t i = 0; i < missing.size(); ++i) end_[k][i] = std::clamp(end_[k][i] + share * missing[i], 0.0f, 1.0f);
      sink_.frame(end_[k]);
    }
  }
  sink_.finish();
}

}  // namespace prax::pipelines

#pragma once

#include <algorithm>
#include <vector>

#include "media/frame_sink.h"

namespace prax::pipelines {

//! Makes the last frame of a clip the first one. A denoiser that holds a picture at both ends leaves them alike, but an
//! autoencoder shows one picture differently at the beginning of a clip and behind moving frames. What is left between
//! the two is spread over the last `over` frames in even parts, so that no frame jumps.
class ClosedLoop : public media::FrameSink {
public:
  ClosedLoop(int64_t over, media::FrameSink& sink) : over_(over), sink_(sink) {}

  void begin(const media::VideoFormat& format) override;
  void frame(std::span<const float> rgb) override;
  void finish() override;

private:
  int64_t over_, passing_ = 0, at_ = 0;
  media::FrameSink& sink_;
  std::vector<float> first_;
  std::vector<std::vector<float>> end_;
};

}  // namespace prax::pipelines

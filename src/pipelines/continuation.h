#pragma once

#include <nlohmann/json.hpp>

#include "media/frame_sink.h"
#include "media/resize.h"

namespace prax::pipelines {

//! Frames of a clip among the arguments (type "clip"), as it is stored.
int64_t count_clip_frames(const nlohmann::json& clip);

//! Puts a clip before what is made from its end: passes the clip on, fades over the last `overlap` frames of it into
//! the first ones that come, and passes the rest on. Errors as media::read_clip().
class Continuation : public media::FrameSink {
public:
  //! `whole` is the format of clip and continuation together; the clip's frames are made to fit it.
  Continuation(const nlohmann::json& clip, int64_t overlap, const media::VideoFormat& whole, media::Fit fit,
               media::FrameSink& sink)
      : clip_(clip), overlap_(overlap), whole_(whole), fit_(fit), sink_(sink) {}

  void begin(const media::VideoFormat& format) override;
  void frame(std::span<const float> rgb) override;
  void finish() override { sink_.finish(); }

private:
  nlohmann::json clip_;
  int64_t overlap_, at_ = 0;
  media::VideoFormat whole_;
  media::Fit fit_;
  media::FrameSink& sink_;
  std::vector<std::vector<float>> end_;  //!< the clip's last frames
};

}  // namespace prax::pipelines

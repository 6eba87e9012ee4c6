#pragma once

#include <cstdint>
#include <span>

namespace prax::media {

struct VideoFormat {
  int width = 0;
  int height = 0;
  int64_t frames = 0;  //!< how many will come
  double fps = 24;
};

//! Takes the frames of one clip as they are made. Those of open_writer() hold the caller to what begin() announced: no
//! size, no frames or a rate that is none is Error(usage), a frame of another size or another number of frames at
//! finish() is Error(internal), and no file appears.
class FrameSink {
public:
  virtual ~FrameSink() = default;
  virtual void begin(const VideoFormat& format) = 0;
  //! One frame: [height, width, 3] RGB, row-major, 0..1 (already clamped).
  virtual void frame(std::span<const float> rgb) = 0;
  //! All frames came. Only now may the result appear under its final name.
  virtual void finish() = 0;
};

}  // namespace prax::media

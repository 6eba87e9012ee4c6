#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "media/picture.h"

namespace prax::media {

//! Moving pictures in memory; all frames have one size.
struct Clip {
  std::vector<Picture> frames;
  double fps = 0;  //!< frames a second; 0 when the source does not say (numbered pictures)
};

struct ClipOptions {
  //! Frames of the source that are left out at its beginning.
  int64_t start_frame = 0;
  //! At most so many frames come; nothing behind them is decoded.
  std::optional<int64_t> max_frames;
  //! Another rate than the source's: frame i is the one that shows i / fps seconds after the start frame, so frames
  //! are repeated or left out and none are blended. Needs a source that knows its times.
  std::optional<double> fps;
};

//! Reads a clip from
//!  - a file of any kind that FFmpeg reads: MP4, MOV, WebM, MKV, AVI, GIF, APNG ..., turned upright as its metadata
//!  says
//!  - an animated WebP, with its blending and disposal
//!  - a folder of numbered pictures (frame_00000.png ...): in the order of their numbers
//!  - a pattern with one printf number, "video_%02d.png": counted up from 0 or 1 until one is missing
//! Y'CbCr becomes RGB as in read_frames(). Transparent parts show white. A picture is a clip of one frame.
//! No more frames are held than asked for. Throws Error(usage) for options that cannot be, Error(io) when the source
//! is not there, Error(input) when it holds no pictures, is damaged, ends in garbage or has no frame at `start_frame`.
Clip read_clip(const std::filesystem::path& path, const ClipOptions& options = {});

//! The same one frame after another: no more than two are in memory, however long the clip is.
class ClipReader {
public:
  explicit ClipReader(const std::filesystem::path& path, const ClipOptions& options = {});
  ~ClipReader();
  ClipReader(ClipReader&&) noexcept;
  ClipReader& operator=(ClipReader&&) noexcept;

  //! nullopt behind the last one.
  std::optional<Picture> next();
  double fps() const;  //!< of what comes; 0 when the source does not say
  //! Whether frames come at another rate than the source's (it knows its own).
  bool resamples() const;

private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

//! The last `frames` frames of a clip, or all when it has fewer. Holds no more than these. Errors as read_clip().
Clip read_clip_tail(const std::filesystem::path& path, int64_t frames);

}  // namespace prax::media

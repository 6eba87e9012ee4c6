#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "media/frame_sink.h"
#include "media/picture.h"

namespace prax::media {

//! A piece of a clip. Times are seconds from its first picture. An end at the last picture or behind it takes that in.
struct CutPart {
  std::filesystem::path file;
  double start = 0;
  std::optional<double> end = {};  //!< the picture that stands there is left out
  double crossfade = 0;            //!< seconds for which the piece before fades into this one; both get shorter by them
};

//! What is known of a part's clip.
struct CutSource {
  int64_t frames = 0;
  double fps = 0;
};

//! How many frames the parts come to at `fps`, with one source for each: without a look at files. Error(usage) as
//! cut_format().
int64_t count_cut_frames(const std::vector<CutPart>& parts, const std::vector<CutSource>& sources, double fps);

//! What the pieces come to, one after another: of the size and the rate that are given, else of the first piece's.
//! Error(usage) for pieces of nothing and fades that are longer than what they fade; errors as read_clip().
VideoFormat cut_format(const std::vector<CutPart>& parts, int width = 0, int height = 0, double fps = 0);

//! Joins the pieces into the sink: at another rate frames are repeated or left out; another size is scaled to lie
//! inside (Lanczos), with black around it. Two frames of a clip are in memory at a time. `progress` hears of frames
//! done; what it throws ends the work.
void cut(const std::vector<CutPart>& parts, const VideoFormat& format, FrameSink& sink,
         const std::function<void(int64_t done)>& progress = {});

//! The picture scaled to lie inside width x height, with black around it.
Picture letterbox(const Picture& picture, int width, int height);

}  // namespace prax::media

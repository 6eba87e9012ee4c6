#include "pipelines/continuation.h"

#include "base/error.h"
#include "media/pixels.h"
#include "pipelines/pictures.h"

namespace prax::pipelines {

namespace {

using nlohmann::json;

std::string file_of(const json& clip) { return (clip.is_object() ? clip.at("file") : clip).get<std::string>(); }

}  // namespace

int64_t count_clip_frames(const json& clip) { return clip_info(file_of(clip)).frames; }

void Continuation::begin(const media::VideoFormat&) {
  sink_.begin(whole_);
  // A few frames at a time, however long the clip is.
  constexpr int64_t at_once = 32;
  const std::string file = file_of(clip_);
  const int64_t count = count_clip_frames(clip_);
  if (count < overlap_)
    throw Error(ErrorKind::input,
                file + " has changed since the run was begun: it has " + std::to_string(count) + " frames now",
                "put the clip back that the run goes on with");
  for (int64_t first = 0; first < count; first += at_once) {
    media::ClipOptions options;
    options.start_frame = first;
    options.max_frames = at_once;
    for (const media::Picture& picture : media::read_clip(file, options).frames) {
      const media::Picture fitted = media::resize_to_fit(picture, whole_.width, whole_.height, fit_);
      std::vector<float> rgb;
      media::to_floats(fitted.rgb, rgb);
      if (at_++ < count - overlap_)
        sink_.frame(rgb);
      else
        end_.push_back(std::move(rgb));
    }
  }
  at_ = 0;
}

void Continuation::frame(std::span<const float> rgb) {
  const auto i = static_cast<size_t>(at_++);
  if (i >= end_.size()) return sink_.frame(rgb);
  std::vector<float>& faded = end_[i];
  const float fresh = static_cast<float>(i + 1) / static_cast<float>(end_.size() + 1);
  for (size_t j = 0; j < faded.size(); ++j) faded[j] += fresh * (rgb[j] - faded[j]);
  sink_.frame(faded);
}

}  // namespace prax::pipelines

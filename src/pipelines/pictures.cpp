#include "pipelines/pictures.h"

#include <algorithm>

#include "base/error.h"
#include "tensor/parallel.h"

namespace prax::pipelines {

using nlohmann::json;

media::Picture read_picture_argument(const json& value) {
  if (value.is_string()) return media::read_picture(value.get<std::string>());
  if (value.size() != 1)
    throw Error(ErrorKind::usage, std::to_string(value.size()) + " pictures were given where one is wanted",
                "give one picture, or several as conditions");
  return media::read_picture(value[0].get<std::string>());
}

media::Clip read_clip_argument(const json& value) {
  if (value.is_string()) return media::read_clip(value.get<std::string>());
  const auto file = value.at("file").get<std::string>();
  const auto start = value.value("start", int64_t{0});
  media::ClipOptions options;
  if (value.contains("frames")) {
    options.max_frames = value.at("frames").get<int64_t>();
    if (*options.max_frames < 1)
      throw Error(ErrorKind::usage, file + ": " + std::to_string(*options.max_frames) + " frames were asked for",
                  "ask for at least one");
  }
  if (start >= 0) {
    options.start_frame = start;
    return media::read_clip(file, options);
  }
  media::Clip clip = media::read_clip_tail(file, -start);
  if (options.max_frames && static_cast<int64_t>(clip.frames.size()) > *options.max_frames)
    clip.frames.resize(static_cast<size_t>(*options.max_frames));
  return clip;
}

media::VideoInfo clip_info(const std::filesystem::path& file) {
  std::error_code ignored;
  if (std::filesystem::is_regular_file(file, ignored)) return media::probe(file);
  const media::Clip clip = media::read_clip(file);
  media::VideoInfo info;
  info.width = clip.frames.front().width;
  info.height = clip.frames.front().height;
  info.frames = static_cast<int64_t>(clip.frames.size());
  info.fps = clip.fps;
  return info;
}

void make_paths_absolute(const std::string& type, json& value, const std::filesystem::path& base) {
  if (value.is_array()) {
    for (json& each : value) make_paths_absolute(type, each, base);
  } else if (type == "conditions" && value.is_object()) {
    if (value.contains("image")) make_paths_absolute("picture", value["image"], base);
    if (value.contains("video")) make_paths_absolute("clip", value["video"], base);
  } else if (type == "clip" && value.is_object()) {
    if (value.contains("file")) make_paths_absolute("file", value["file"], base);
  } else if (value.is_string() && (type == "file" || type == "picture" || type == "clip")) {
    value = (base / value.get<std::string>()).lexically_normal().string();
  }
}

Tensor to_rgb(const Tensor& decoded) {
  constexpr int64_t together = 1 << 16;
  Tensor rgb = Tensor::empty(decoded.shape());
  parallel_for(rgb.numel(), together, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      rgb.data<float>()[i] = std::clamp(decoded.data<float>()[i] / 2.0f + 0.5f, 0.0f, 1.0f);
  });
  return rgb;
}

}  // namespace prax::pipelines

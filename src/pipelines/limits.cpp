#include "pipelines/limits.h"

#include "base/error.h"
#include "checkpoint/config.h"

namespace prax::pipelines {

using nlohmann::json;

void take_defaults(const std::vector<Argument>& arguments, Limits& l) {
  for (const Argument& a : arguments) {
    if (a.name == "width") l.width = a.default_value.get<int>();
    if (a.name == "height") l.height = a.default_value.get<int>();
    if (a.name == "num_frames") l.frames = a.default_value.get<int64_t>();
    if (a.name == "frame_rate") l.fps = a.default_value.get<double>();
  }
}

void take_own_limits(const checkpoint::Folder& folder, Limits& l) {
  const auto file = folder.path() / "praxinoscope.json";
  if (!std::filesystem::exists(file)) return;
  const auto own = checkpoint::Config::read(file);
  const auto part = [&](const char* name) {
    return checkpoint::Config(own.get<json>(name, json::object()), file.string() + ": " + name);
  };
  const auto defaults = part("defaults"), limits = part("limits");
  l.width = defaults.get("width", l.width);
  l.height = defaults.get("height", l.height);
  l.fps = defaults.get("frame_rate", l.fps);
  l.frames = defaults.get("num_frames", l.frames);
  if (defaults.has("temp")) l.frames = (defaults.get("temp", int64_t{1}) - 1) * l.frame_group + l.frame_offset;
  // A folder with a size or a length of its own was made for that, and not for what the family's published models are.
  if (defaults.has("width") || defaults.has("height")) l.most_pixels = int64_t{l.width} * l.height;
  if (defaults.has("num_frames") || defaults.has("temp")) l.most_frames = l.frames;
  l.most_pixels = limits.get("pixels", l.most_pixels);
  l.most_frames = limits.get("frames", l.most_frames);
  if (l.width < 1 || l.height < 1 || l.frames < 1 || !(l.fps > 0) || l.most_frames < l.frames ||
      l.most_pixels < int64_t{l.width} * l.height)
    throw Error(ErrorKind::checkpoint, file.string() + ": its defaults are beyond its limits", "mend the file");
}

}  // namespace prax::pipelines

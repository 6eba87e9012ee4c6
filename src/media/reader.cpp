#include "media/reader.h"

#include <cctype>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "media/clip.h"
#include "media/input.h"
#include "media/metadata.h"
#include "media/still.h"
#include "media/webp.h"
#include "tensor/parallel.h"

namespace prax::media {

namespace fs = std::filesystem;

namespace {

// The last comment extension: FE after the extension's introducer 21, then blocks of up to 255 bytes, then an empty
// one.
std::optional<Metadata> gif_settings(std::string_view gif) {
  const size_t begin = gif.rfind("\x21\xfe");
  if (begin == std::string_view::npos) return std::nullopt;
  std::string text;
  for (size_t at = begin + 2; at < gif.size() && gif[at] != 0;) {
    const size_t size = static_cast<uint8_t>(gif[at]);
    text += gif.substr(at + 1, size);
    at += size + 1;
  }
  return from_json(text);
}

VideoInfo webp_info(const WebpFile& file) {
  VideoInfo info;
  info.width = file.width;
  info.height = file.height;
  if (swaps_sides(file.orientation)) std::swap(info.width, info.height);
  info.codec = "webp";
  info.frames = static_cast<int64_t>(file.frames.size());
  for (const WebpFrame& frame : file.frames) info.duration += frame.milliseconds / 1000.0;
  if (info.duration > 0) info.fps = static_cast<double>(info.frames) / info.duration;
  return info;
}

}  // namespace

VideoInfo probe(const fs::path& path) {
  constexpr size_t head_bytes = 16;
  if (still_kind(file_head(path, head_bytes)) == StillKind::webp) {
    const std::string bytes = file_bytes(path);
    return webp_info(parse_webp({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, path.string()));
  }
  Input input(MediaKind::video, path);
  const AVStream& stream = input.stream();
  VideoInfo info;
  info.width = stream.codecpar->width;
  info.height = stream.codecpar->height;
  if (swaps_sides(input.orientation())) std::swap(info.width, info.height);
  info.codec = avcodec_get_name(stream.codecpar->codec_id);
  info.fps = stream.avg_frame_rate.den > 0 ? av_q2d(stream.avg_frame_rate) : 0;
  for (unsigned i = 0; i < input.container().nb_streams; ++i) {
    if (input.container().streams[i]->disposition & AV_DISPOSITION_ATTACHED_PIC) info.has_cover = true;
  }
  const AVDictionaryEntry* tag = nullptr;
  while ((tag = av_dict_get(input.container().metadata, "", tag, AV_DICT_IGNORE_SUFFIX)))
    info.tags[tag->key] = tag->value;

  info.frames = stream.nb_frames;
  if (stream.duration > 0) {
    info.duration = static_cast<double>(stream.duration) * av_q2d(stream.time_base);
  } else if (input.container().duration > 0) {
    info.duration = static_cast<double>(input.container().duration) / AV_TIME_BASE;
  }
  if (info.frames == 0) {
    const PacketPtr packet(allocated(av_packet_alloc()));
    while (input.next_packet(*packet)) ++info.frames;
  }
  return info;
}

Tensor read_frames(const fs::path& path) {
  const Clip clip = read_clip(path);
  const Picture& first = clip.frames.front();
  Tensor result = Tensor::empty({static_cast<int64_t>(clip.frames.size()), first.height, first.width, 3});
  const size_t size = first.rgb.size();
  float* out = result.data<float>();
  parallel_for(result.dim(0), 1, [&](int64_t begin, int64_t end) {
    for (auto t = static_cast<size_t>(begin); t < static_cast<size_t>(end); ++t) {
      const std::vector<uint8_t>& bytes = clip.frames[t].rgb;
      for (size_t i = 0; i < size; ++i) out[t * size + i] = static_cast<float>(bytes[i]) / 255.0f;
    }
  });
  return result;
}

std::map<std::string, std::string> read_settings(const fs::path& path) {
  if (fs::is_directory(path)) {
    const fs::path file = path / "settings.json";
    return fs::exists(file) ? from_json(file_bytes(file)).value_or(Metadata{}) : Metadata{};
  }
  const std::string bytes = file_bytes(path);
  if (bytes.starts_with("\x89PNG")) {
    constexpr std::string_view prefix = "prax:";
    Metadata settings;
    for (const auto& [key, text] : png_text(std::span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()))) {
      if (key.starts_with(prefix)) settings[key.substr(prefix.size())] = text;
    }
    return settings;
  }
  if (bytes.starts_with("GIF8")) return gif_settings(bytes).value_or(Metadata{});
  if (bytes.starts_with("RIFF")) return from_xmp(bytes).value_or(Metadata{});
  if (bytes.starts_with("\x93NUMPY")) return {};
  const VideoInfo info = probe(path);
  for (const auto& [key, text] : info.tags) {
    std::string lower = key;
    for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (lower == "comment") return from_json(text).value_or(Metadata{});
  }
  return {};
}

}  // namespace prax::media

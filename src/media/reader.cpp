#include "media/reader.h"

extern "C" {
#include <libswscale/swscale.h>
}

#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "media/ffmpeg.h"
#include "media/metadata.h"

namespace prax::media {

namespace fs = std::filesystem;

namespace {

constexpr int hd_lines = 720;

struct CloseInput {
  void operator()(AVFormatContext* input) const { avformat_close_input(&input); }
};
struct FreeScaler {
  void operator()(SwsContext* scaler) const { sws_freeContext(scaler); }
};

[[noreturn]] void refuse(const fs::path& path, const std::string& why) {
  throw Error(ErrorKind::input, path.string() + " cannot be read as a video: " + why,
              "Check that the file is complete and is a video.");
}

template <typename T>
T* allocated(T* object) {
  if (!object) throw Error(ErrorKind::resource, "there is not enough memory to read a video", "close other programs");
  return object;
}

std::string words(int code) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(code, text, sizeof text);
  return text;
}

// A container opened for reading, and its one interesting stream.
class Input {
public:
  explicit Input(const fs::path& path) : path_(path) {
    quiet_ffmpeg();
    if (!std::ifstream(path) || fs::is_directory(path)) {
      throw Error(ErrorKind::io, path.string() + " cannot be opened: " + std::strerror(errno ? errno : EISDIR),
                  "Check the name and the permissions.");
    }
    AVDictionary* options = nullptr;
    av_dict_set(&options, "protocol_whitelist", "file", 0);  // a playlist must not reach out
    AVFormatContext* input = nullptr;
    const int result = avformat_open_input(&input, ("file:" + path.string()).c_str(), nullptr, &options);
    av_dict_free(&options);
    if (result < 0) refuse(path, words(result));
    input_.reset(input);
    if (const int found = avformat_find_stream_info(input, nullptr); found < 0) refuse(path, words(found));
    const int index = av_find_best_stream(input, AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
    if (index < 0) refuse(path, "there is no picture in it");
    stream_ = input->streams[index];
    if (stream_->codecpar->width < 1 || stream_->codecpar->height < 1) refuse(path, "its pictures have no size");
  }

  AVFormatContext& container() { return *input_; }
  AVStream& stream() { return *stream_; }

  //! Every packet of the stream, in the order of the file.
  void packets(const std::function<void(AVPacket&)>& take) {
    const PacketPtr packet(allocated(av_packet_alloc()));
    for (;;) {
      const int result = av_read_frame(input_.get(), packet.get());
      if (result == AVERROR_EOF) return;
      if (result < 0) refuse(path_, words(result));
      if (packet->stream_index == stream_->index) take(*packet);
      av_packet_unref(packet.get());
    }
  }

  //! Every picture, decoded, in the order of showing.
  void pictures(const std::function<void(const AVFrame&)>& take) {
    const AVCodec* codec = avcodec_find_decoder(stream_->codecpar->codec_id);
    if (!codec) refuse(path_, "its kind of compression is unknown here");
    const CodecContext decoder(allocated(avcodec_alloc_context3(codec)));
    check(avcodec_parameters_to_context(decoder.get(), stream_->codecpar), "opening the decoder", path_);
    decoder->pkt_timebase = stream_->time_base;
    if (const int result = avcodec_open2(decoder.get(), codec, nullptr); result < 0) refuse(path_, words(result));
    const FramePtr frame(allocated(av_frame_alloc()));
    const auto decode = [&](const AVPacket* packet) {
      if (const int result = avcodec_send_packet(decoder.get(), packet); result < 0) refuse(path_, words(result));
      for (;;) {
        const int result = avcodec_receive_frame(decoder.get(), frame.get());
        if (result == AVERROR(EAGAIN) || result == AVERROR_EOF) return;
        if (result < 0) refuse(path_, words(result));
        take(*frame);
        av_frame_unref(frame.get());
      }
    };
    packets([&](AVPacket& packet) { decode(&packet); });
    decode(nullptr);
  }

private:
  fs::path path_;
  std::unique_ptr<AVFormatContext, CloseInput> input_;
  AVStream* stream_ = nullptr;
};

// Pictures of one size and kind to rows of RGB bytes.
class ToRgb {
public:
  explicit ToRgb(const AVFrame& like) : width_(like.width), height_(like.height), format_(like.format) {
    scaler_.reset(sws_getContext(
        width_, height_, static_cast<AVPixelFormat>(format_), width_, height_, AV_PIX_FMT_RGB24,
        SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP, nullptr, nullptr, nullptr));
    allocated(scaler_.get());
    int space = like.colorspace;
    if (space == AVCOL_SPC_UNSPECIFIED) space = height_ >= hd_lines ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
    const bool full = like.color_range == AVCOL_RANGE_JPEG || format_ == AV_PIX_FMT_YUVJ420P ||
                      format_ == AV_PIX_FMT_YUVJ422P || format_ == AV_PIX_FMT_YUVJ444P;
    // Pictures that are RGB already answer -1: there is nothing to set.
    sws_setColorspaceDetails(scaler_.get(), sws_getCoefficients(space), full, sws_getCoefficients(SWS_CS_DEFAULT), 1, 0,
                             1 << 16, 1 << 16);
  }

  bool fits(const AVFrame& frame) const {
    return frame.width == width_ && frame.height == height_ && frame.format == format_;
  }

  void append(const AVFrame& frame, std::vector<uint8_t>& bytes) const {
    const size_t row = static_cast<size_t>(width_) * 3;
    // The scaler writes whole vectors, beyond the end of a row too.
    const FramePtr rgb = new_frame(AV_PIX_FMT_RGB24, width_, height_);
    sws_scale(scaler_.get(), frame.data, frame.linesize, 0, height_, rgb->data, rgb->linesize);
    for (int y = 0; y < height_; ++y) {
      const uint8_t* line = rgb->data[0] + static_cast<ptrdiff_t>(y) * rgb->linesize[0];
      bytes.insert(bytes.end(), line, line + row);
    }
  }

private:
  int width_;
  int height_;
  int format_;
  std::unique_ptr<SwsContext, FreeScaler> scaler_;
};

std::string file_bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw Error(ErrorKind::io, path.string() + " cannot be opened: " + std::strerror(errno),
                "Check the name and the permissions.");
  }
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

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

}  // namespace

VideoInfo probe(const fs::path& path) {
  Input input(path);
  const AVStream& stream = input.stream();
  VideoInfo info;
  info.width = stream.codecpar->width;
  info.height = stream.codecpar->height;
  info.codec = avcodec_get_name(stream.codecpar->codec_id);
  info.fps = av_q2d(stream.avg_frame_rate);
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
  if (info.frames == 0) input.packets([&](AVPacket&) { ++info.frames; });
  return info;
}

Tensor read_frames(const fs::path& path) {
  Input input(path);
  std::vector<uint8_t> bytes;
  std::unique_ptr<ToRgb> converter;
  int64_t frames = 0, height = 0, width = 0;
  input.pictures([&](const AVFrame& frame) {
    if (!converter) {
      converter = std::make_unique<ToRgb>(frame);
      height = frame.height;
      width = frame.width;
    }
    if (!converter->fits(frame)) refuse(path, "its pictures change their size");
    converter->append(frame, bytes);
    ++frames;
  });
  if (frames == 0) refuse(path, "there is no picture in it");
  Tensor result = Tensor::empty({frames, height, width, 3});
  float* out = result.data<float>();
  for (size_t i = 0; i < bytes.size(); ++i) out[i] = static_cast<float>(bytes[i]) / 255.0f;
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

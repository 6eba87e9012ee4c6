#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

extern "C" {
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
}

#include "base/error.h"
#include "base/log.h"
#include "media/metadata.h"
#include "media/muxer.h"
#include "media/pixels.h"
#include "media/video_writer.h"

namespace prax::media {

namespace {

constexpr AVPixelFormat source_format = AV_PIX_FMT_BGRA;
constexpr int palette_side = 16;
// Time is counted in hundredths of a second, and players show no frame for less than two.
constexpr double fastest = 50;

//! A graph of one filter between sources and a sink.
struct FilterChain {
  FilterGraph graph;
  std::vector<AVFilterContext*> sources;
  AVFilterContext* sink = nullptr;

  FilterChain(const char* name, const char* arguments, const std::vector<std::string>& inputs,
              const std::filesystem::path& file)
      : graph(avfilter_graph_alloc()) {
    AVFilterContext* filter = nullptr;
    const auto make = [&](AVFilterContext** made, const char* kind, const char* text) {
      check(avfilter_graph_create_filter(made, avfilter_get_by_name(kind), nullptr, text, nullptr, graph.get()), kind,
            file);
    };
    make(&filter, name, arguments);
    for (size_t i = 0; i < inputs.size(); ++i) {
      AVFilterContext* source = nullptr;
      make(&source, "buffer", inputs[i].c_str());
      check(avfilter_link(source, 0, filter, static_cast<unsigned>(i)), name, file);
      sources.push_back(source);
    }
    make(&sink, "buffersink", nullptr);
    check(avfilter_link(filter, 0, sink, 0), name, file);
    check(avfilter_graph_config(graph.get(), nullptr), name, file);
  }
};

//! Frames wait on the disk in 8 bits until the palette of all of them is known.
class GifWriter : public FrameSink {
public:
  GifWriter(const std::filesystem::path& path, const WriterOptions& options)
      : options_(options), muxer_(path, "gif"), kept_(path) {}

  void begin(const VideoFormat& format) override {
    format_ = format;
    if (format.fps > fastest) {
      log_warning("a GIF shows at most 50 frames a second; it will play slower than the video");
      format_.fps = fastest;
    }
    bytes_.resize(static_cast<size_t>(format.width) * static_cast<size_t>(format.height) * 4);
    palette_.emplace("palettegen", "stats_mode=full", std::vector{describe(format.width, format.height)}, target());
  }

  void frame(std::span<const float> rgb) override {
    for (size_t i = 0; i < bytes_.size() / 4; ++i) {
      bytes_[4 * i] = to_byte(rgb[3 * i + 2]);
      bytes_[4 * i + 1] = to_byte(rgb[3 * i + 1]);
      bytes_[4 * i + 2] = to_byte(rgb[3 * i]);
      bytes_[4 * i + 3] = 255;
    }
    kept_.append(bytes_);
    const FramePtr picture = picture_of(written_);
    check(av_buffersrc_add_frame(palette_->sources[0], picture.get()), "collecting colours", target());
    // Asking makes the filter count the frame now instead of keeping it; the palette comes after the last.
    const FramePtr early(av_frame_alloc());
    if (const int code = av_buffersink_get_frame(palette_->sink, early.get()); code != AVERROR(EAGAIN))
      check(code, "collecting colours", target());
    ++written_;
  }

  void finish() override {
    check(av_buffersrc_add_frame(palette_->sources[0], nullptr), "collecting colours", target());
    const FramePtr colours(av_frame_alloc());
    check(av_buffersink_get_frame(palette_->sink, colours.get()), "choosing the palette", target());
    FilterChain use("paletteuse", "dither=sierra2_4a",
                    {describe(format_.width, format_.height), describe(palette_side, palette_side)}, target());
    check(av_buffersrc_add_frame(use.sources[1], colours.get()), "using the palette", target());
    check(av_buffersrc_add_frame(use.sources[1], nullptr), "using the palette", target());
    open_encoder();
    const FramePtr drawn(av_frame_alloc());
    for (int64_t i = 0; i <= written_; ++i) {
      if (i < written_) kept_.read(static_cast<uint64_t>(i) * bytes_.size(), bytes_);
      const FramePtr picture = i < written_ ? picture_of(i) : nullptr;
      check(av_buffersrc_add_frame(use.sources[0], picture.get()), "using the palette", target());
      while (av_buffersink_get_frame(use.sink, drawn.get()) >= 0) {
        muxer_.encode(*encoder_, *stream_, drawn.get());
        av_frame_unref(drawn.get());
      }
    }
    muxer_.encode(*encoder_, *stream_, nullptr);
    muxer_.write_trailer();
    add_comment();
    muxer_.file().commit();
  }

private:
  const std::filesystem::path& target() const { return muxer_.file_target(); }

  std::string describe(int width, int height) const {
    const AVRational rate = av_d2q(format_.fps, 1001000);
    return "video_size=" + std::to_string(width) + "x" + std::to_string(height) +
           ":pix_fmt=" + std::to_string(source_format) + ":time_base=" + std::to_string(rate.den) + "/" +
           std::to_string(rate.num) + ":pixel_aspect=1/1";
  }

  FramePtr picture_of(int64_t index) const {
    FramePtr picture = new_frame(source_format, format_.width, format_.height);
    const size_t row = static_cast<size_t>(format_.width) * 4;
    for (int y = 0; y < format_.height; ++y)
      std::memcpy(picture->data[0] + y * picture->linesize[0], bytes_.data() + static_cast<size_t>(y) * row, row);
    picture->pts = index;
    picture->sample_aspect_ratio = {1, 1};
    return picture;
  }

  void open_encoder() {
    encoder_.reset(avcodec_alloc_context3(avcodec_find_encoder(AV_CODEC_ID_GIF)));
    encoder_->width = format_.width;
    encoder_->height = format_.height;
    encoder_->pix_fmt = AV_PIX_FMT_PAL8;
    encoder_->framerate = av_d2q(format_.fps, 1001000);
    encoder_->time_base = av_inv_q(encoder_->framerate);
    stream_ = &muxer_.add_stream(*encoder_, nullptr);
    AVDictionary* options = nullptr;
    av_dict_set(&options, "loop", "0", 0);
    muxer_.write_header(&options);
    av_dict_free(&options);
  }

  //! Before the trailer byte, the last of the file.
  void add_comment() {
    if (options_.metadata.empty()) return;
    const uint8_t trailer = 0x3b;
    OutputFile& file = muxer_.file();
    file.seek(file.size() - 1);
    file.write(std::span<const uint8_t>(gif_comment(to_json(options_.metadata))));
    file.write(std::span<const uint8_t>(&trailer, 1));
  }

  WriterOptions options_;
  Muxer muxer_;
  ScratchFile kept_;
  VideoFormat format_;
  std::vector<uint8_t> bytes_;
  std::optional<FilterChain> palette_;
  CodecContext encoder_;
  AVStream* stream_ = nullptr;
  int64_t written_ = 0;
};

}  // namespace

std::unique_ptr<FrameSink> open_gif(const std::filesystem::path& path, const WriterOptions& options) {
  return std::make_unique<GifWriter>(path, options);
}

}  // namespace prax::media

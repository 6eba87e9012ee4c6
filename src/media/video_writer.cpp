#include "media/video_writer.h"

#include <array>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "base/error.h"
#include "media/image.h"
#include "media/metadata.h"
#include "media/muxer.h"
#include "media/pixels.h"

namespace prax::media {

namespace {

//! Always the same, so that the file does not depend on the machine.
constexpr int encoder_threads = 4;

AVRational rate_of(double fps) { return av_d2q(fps, 1001000); }

const AVCodec& find_encoder(const char* name) {
  const AVCodec* codec = avcodec_find_encoder_by_name(name);
  if (!codec)
    throw Error(ErrorKind::io, std::string("this FFmpeg has no encoder ") + name,
                "install Debian's libavcodec, or write .png or .npy");
  return *codec;
}

//! The parts that MP4, WebM and WebP share: one encoder, one container, frames as they come.
class VideoWriter : public FrameSink {
public:
  VideoWriter(const std::filesystem::path& path, const WriterOptions& options, const char* container)
      : options_(options), muxer_(path, container) {}

  void begin(const VideoFormat& format) override {
    format_ = format;
    prepare();
    encoder_.reset(avcodec_alloc_context3(&find_encoder(codec_name())));
    encoder_->width = format.width;
    encoder_->height = format.height;
    encoder_->framerate = rate_of(format.fps);
    encoder_->time_base = av_inv_q(encoder_->framerate);
    encoder_->sample_aspect_ratio = {1, 1};
    encoder_->thread_count = encoder_threads;
    AVDictionary* codec_options = nullptr;
    configure(*encoder_, &codec_options);
    stream_ = &muxer_.add_stream(*encoder_, &codec_options);
    av_dict_free(&codec_options);
    add_metadata();
    AVDictionary* container_options = nullptr;
    configure_container(&container_options);
    muxer_.write_header(&container_options);
    av_dict_free(&container_options);
    picture_ = new_frame(encoder_->pix_fmt, format.width, format.height);
    picture_->color_range = encoder_->color_range;
  }

  void frame(std::span<const float> rgb) override {
    check(av_frame_make_writable(picture_.get()), "making a picture", muxer_.file().target());
    fill(rgb, *picture_);
    picture_->pts = written_;
    muxer_.encode(*encoder_, *stream_, picture_.get());
    on_frame(rgb, written_);
    ++written_;
  }

  void finish() override {
    muxer_.encode(*encoder_, *stream_, nullptr);
    before_trailer();
    muxer_.write_trailer();
    after_trailer();
    muxer_.file().commit();
  }

protected:
  virtual const char* codec_name() const = 0;
  virtual void configure(AVCodecContext& encoder, AVDictionary** options) = 0;
  virtual void configure_container(AVDictionary**) {}
  virtual void fill(std::span<const float> rgb, AVFrame& picture) = 0;
  virtual void prepare() {}
  virtual void on_frame(std::span<const float>, int64_t) {}
  virtual void before_trailer() {}
  virtual void after_trailer() {}

  void add_metadata() {
    if (options_.metadata.empty()) return;
    AVDictionary** tags = &muxer_.container().metadata;
    av_dict_set(tags, "comment", to_json(options_.metadata).c_str(), 0);
    if (const std::string title = title_of(options_.metadata); !title.empty())
      av_dict_set(tags, "title", title.c_str(), 0);
  }

  WriterOptions options_;
  Muxer muxer_;
  VideoFormat format_;
  CodecContext encoder_;
  AVStream* stream_ = nullptr;
  FramePtr picture_;
  int64_t written_ = 0;
};

//! 4:2:0 with the colour rules written into the stream.
class Yuv420Writer : public VideoWriter {
public:
  using VideoWriter::VideoWriter;

protected:
  void prepare() override {
    if (format_.width % 2 || format_.height % 2)
      throw Error(ErrorKind::usage,
                  "this format needs an even width and height, not " + std::to_string(format_.width) + "x" +
                      std::to_string(format_.height),
                  "choose an even size, or write .gif, .webp, .png or .npy");
  }

  void configure(AVCodecContext& encoder, AVDictionary** options) override {
    encoder.pix_fmt = AV_PIX_FMT_YUV420P;
    encoder.color_range = AVCOL_RANGE_MPEG;
    encoder.colorspace = AVCOL_SPC_BT709;
    encoder.color_primaries = AVCOL_PRI_BT709;
    encoder.color_trc = AVCOL_TRC_BT709;
    encoder.chroma_sample_location = AVCHROMA_LOC_LEFT;
    av_dict_set_int(options, "crf", options_.quality, 0);
  }

  void fill(std::span<const float> rgb, AVFrame& picture) override {
    rgb_to_yuv420(rgb, format_.width, format_.height, YuvRule::bt709(),
                  {{picture.data[0], picture.data[1], picture.data[2]},
                   {picture.linesize[0], picture.linesize[1], picture.linesize[2]}});
  }
};

class Mp4Writer : public Yuv420Writer {
public:
  Mp4Writer(const std::filesystem::path& path, const WriterOptions& options) : Yuv420Writer(path, options, "mp4") {}

protected:
  const char* codec_name() const override { return "libx264"; }

  void configure(AVCodecContext& encoder, AVDictionary** options) override {
    Yuv420Writer::configure(encoder, options);
    // High cannot be lossless, which is what quality 0 asks for.
    if (options_.quality > 0) encoder.profile = FF_PROFILE_H264_HIGH;
    encoder.gop_size = std::max(1, static_cast<int>(std::lround(2 * format_.fps)));
    av_dict_set(options, "preset", "medium", 0);
  }

  void configure_container(AVDictionary** options) override {
    av_dict_set(options, "movflags", "+faststart", 0);
    if (!options_.poster) return;
    poster_stream_ = avformat_new_stream(&muxer_.container(), nullptr);
    poster_stream_->disposition = AV_DISPOSITION_ATTACHED_PIC;
    poster_stream_->codecpar->codec_type = AVMEDIA_TYPE_VIDEO;
    poster_stream_->codecpar->codec_id = AV_CODEC_ID_MJPEG;
    poster_stream_->codecpar->width = format_.width;
    poster_stream_->codecpar->height = format_.height;
    poster_stream_->codecpar->format = AV_PIX_FMT_YUVJ420P;
  }

  void on_frame(std::span<const float> rgb, int64_t index) override {
    if (poster_stream_ && (poster_.empty() || index == format_.frames / 2))
      poster_ = encode_jpeg(rgb, format_.width, format_.height);
  }

  void before_trailer() override {
    if (!poster_stream_ || poster_.empty()) return;
    const PacketPtr packet(av_packet_alloc());
    check(av_new_packet(packet.get(), static_cast<int>(poster_.size())), "adding the poster", muxer_.file().target());
    std::memcpy(packet->data, poster_.data(), poster_.size());
    packet->stream_index = poster_stream_->index;
    packet->flags |= AV_PKT_FLAG_KEY;
    packet->pts = packet->dts = 0;
    muxer_.write(*packet);
  }

private:
  AVStream* poster_stream_ = nullptr;
  std::vector<uint8_t> poster_;
};

class WebmWriter : public Yuv420Writer {
public:
  WebmWriter(const std::filesystem::path& path, const WriterOptions& options) : Yuv420Writer(path, options, "webm") {}

protected:
  const char* codec_name() const override { return "libvpx-vp9"; }

  void configure(AVCodecContext& encoder, AVDictionary** options) override {
    Yuv420Writer::configure(encoder, options);
    encoder.bit_rate = 0;
    av_dict_set(options, "deadline", "good", 0);
    av_dict_set(options, "cpu-used", "4", 0);
    av_dict_set(options, "row-mt", "1", 0);
  }
};

class WebpWriter : public VideoWriter {
public:
  WebpWriter(const std::filesystem::path& path, const WriterOptions& options) : VideoWriter(path, options, "webp") {}

protected:
  const char* codec_name() const override { return "libwebp_anim"; }

  void configure(AVCodecContext& encoder, AVDictionary** options) override {
    constexpr int quality = 90;
    encoder.pix_fmt = AV_PIX_FMT_RGB32;
    av_dict_set_int(options, "quality", quality, 0);
    av_dict_set(options, "loop", "0", 0);
  }

  void configure_container(AVDictionary** options) override { av_dict_set(options, "loop", "0", 0); }

  void fill(std::span<const float> rgb, AVFrame& picture) override {
    for (int y = 0; y < format_.height; ++y) {
      auto* row = reinterpret_cast<uint32_t*>(picture.data[0] + y * picture.linesize[0]);
      for (int x = 0; x < format_.width; ++x) {
        const float* p =
            rgb.data() + (static_cast<size_t>(y) * static_cast<size_t>(format_.width) + static_cast<size_t>(x)) * 3;
        row[x] = 0xff000000u | static_cast<uint32_t>(to_byte(p[0])) << 16 | static_cast<uint32_t>(to_byte(p[1])) << 8 |
                 to_byte(p[2]);
      }
    }
  }

  //! An XMP chunk at the end, announced in the VP8X header
  //! (https://developers.google.com/speed/webp/docs/riff_container).
  void after_trailer() override {
    constexpr size_t flags = 20;
    constexpr uint8_t has_xmp = 0x04;
    if (options_.metadata.empty()) return;
    OutputFile& file = muxer_.file();
    if (!is_extended()) extend();
    const std::string xmp = to_xmp(options_.metadata);
    file.seek(file.size());
    file.write(std::string_view("XMP "));
    file.write(std::span<const uint8_t>(little(xmp.size())));
    file.write(xmp);
    if (xmp.size() % 2) file.write(std::string_view("\0", 1));
    const uint64_t riff_bytes = file.size() - 8;
    file.seek(4);
    file.write(std::span<const uint8_t>(little(riff_bytes)));
    const uint8_t flag_byte = static_cast<uint8_t>((is_extended() ? muxer_.head()[flags] : 0) | has_xmp);
    file.seek(flags);
    file.write(std::span<const uint8_t>(&flag_byte, 1));
  }

private:
  static std::array<uint8_t, 4> little(uint64_t v) {
    return {static_cast<uint8_t>(v), static_cast<uint8_t>(v >> 8), static_cast<uint8_t>(v >> 16),
            static_cast<uint8_t>(v >> 24)};
  }

  bool is_extended() const { return std::memcmp(muxer_.head().data() + riff_head, "VP8X", 4) == 0; }

  //! A single frame comes without the VP8X header: it is put before the picture.
  void extend() {
    OutputFile& file = muxer_.file();
    std::ifstream written(file.temporary(), std::ios::binary);
    written.seekg(riff_head);
    const std::string picture{std::istreambuf_iterator<char>(written), std::istreambuf_iterator<char>()};
    if (picture.size() + riff_head != file.size())
      throw Error(ErrorKind::io, file.target().string() + " cannot be read back while it is written",
                  "write .mp4, .png or .npy");
    constexpr uint64_t header_bytes = 10;
    file.seek(riff_head);
    file.write(std::string_view("VP8X"));
    file.write(std::span<const uint8_t>(little(header_bytes)));
    file.write(std::span<const uint8_t>(little(0)));
    file.write(std::span<const uint8_t>(little(static_cast<uint64_t>(format_.width - 1))).first(3));
    file.write(std::span<const uint8_t>(little(static_cast<uint64_t>(format_.height - 1))).first(3));
    file.write(picture);
  }

  static constexpr size_t riff_head = 12;
};

}  // namespace

std::unique_ptr<FrameSink> open_mp4(const std::filesystem::path& path, const WriterOptions& options) {
  return std::make_unique<Mp4Writer>(path, options);
}

std::unique_ptr<FrameSink> open_webm(const std::filesystem::path& path, const WriterOptions& options) {
  return std::make_unique<WebmWriter>(path, options);
}

std::unique_ptr<FrameSink> open_webp(const std::filesystem::path& path, const WriterOptions& options) {
  return std::make_unique<WebpWriter>(path, options);
}

}  // namespace prax::media

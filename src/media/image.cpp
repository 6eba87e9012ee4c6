#include "media/image.h"

#include "base/error.h"
#include "media/ffmpeg.h"
#include "media/metadata.h"
#include "media/output_file.h"
#include "media/pixels.h"

namespace prax::media {

namespace {

std::vector<uint8_t> encode_picture(AVCodecID id, const AVFrame& frame, int quality) {
  quiet_ffmpeg();
  const AVCodec* codec = avcodec_find_encoder(id);
  if (!codec)
    throw Error(ErrorKind::io, "this FFmpeg cannot write that kind of picture", "install Debian's libavcodec");
  const CodecContext encoder(avcodec_alloc_context3(codec));
  encoder->width = frame.width;
  encoder->height = frame.height;
  encoder->pix_fmt = static_cast<AVPixelFormat>(frame.format);
  encoder->color_range = frame.color_range;
  encoder->time_base = {1, 1};
  encoder->flags |= AV_CODEC_FLAG_BITEXACT;
  encoder->thread_count = 1;
  if (quality > 0) {
    encoder->flags |= AV_CODEC_FLAG_QSCALE;
    encoder->global_quality = quality * FF_QP2LAMBDA;
  }
  check(avcodec_open2(encoder.get(), codec, nullptr), "opening the encoder", "picture");
  check(avcodec_send_frame(encoder.get(), &frame), "encoding", "picture");
  check(avcodec_send_frame(encoder.get(), nullptr), "encoding", "picture");
  const PacketPtr packet(av_packet_alloc());
  check(avcodec_receive_packet(encoder.get(), packet.get()), "encoding", "picture");
  return {packet->data, packet->data + packet->size};
}

}  // namespace

std::vector<uint8_t> encode_png(std::span<const float> rgb, int width, int height,
                                const std::map<std::string, std::string>& metadata) {
  const FramePtr frame = new_frame(AV_PIX_FMT_RGB24, width, height);
  const size_t row = static_cast<size_t>(width) * 3;
  for (int y = 0; y < height; ++y)
    to_bytes(rgb.subspan(static_cast<size_t>(y) * row, row), {frame->data[0] + y * frame->linesize[0], row});
  const auto png = encode_picture(AV_CODEC_ID_PNG, *frame, 0);
  return metadata.empty() ? png : png_with_text(png, metadata);
}

std::vector<uint8_t> encode_jpeg(std::span<const float> rgb, int width, int height) {
  constexpr int quality = 3;
  const FramePtr frame = new_frame(AV_PIX_FMT_YUVJ420P, width, height);
  frame->color_range = AVCOL_RANGE_JPEG;
  rgb_to_yuv420(
      rgb, width, height, YuvRule::jpeg(),
      {{frame->data[0], frame->data[1], frame->data[2]}, {frame->linesize[0], frame->linesize[1], frame->linesize[2]}});
  return encode_picture(AV_CODEC_ID_MJPEG, *frame, quality);
}

void write_png(const std::filesystem::path& path, const Tensor& rgb,
               const std::map<std::string, std::string>& metadata) {
  require_parent_folder(path);
  OutputFile file(path);
  const auto png = encode_png(rgb.span<float>(), static_cast<int>(rgb.dim(1)), static_cast<int>(rgb.dim(0)), metadata);
  file.write(std::span<const uint8_t>(png));
  file.commit();
}

}  // namespace prax::media

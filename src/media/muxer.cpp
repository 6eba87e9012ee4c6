#include "media/muxer.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace prax::media {

Muxer::Muxer(const std::filesystem::path& target, const char* format) : file_(target) {
  constexpr int buffer_bytes = 1 << 16;
  quiet_ffmpeg();
  // The temporary's name as url: a front-loaded MP4 is read back from there when its index moves to the front.
  // "file:", because a colon in a name would look like a protocol.
  const std::string url = "file:" + file_.temporary().string();
  check(avformat_alloc_output_context2(&container_, nullptr, format, url.c_str()), "opening the container", target);
  auto* buffer = static_cast<unsigned char*>(av_malloc(buffer_bytes));
  container_->pb = avio_alloc_context(buffer, buffer_bytes, 1, this, nullptr, &write_bytes, &seek);
  container_->flags |= AVFMT_FLAG_BITEXACT | AVFMT_FLAG_CUSTOM_IO;
}

Muxer::~Muxer() {
  if (!container_) return;
  if (container_->pb) {
    av_freep(&container_->pb->buffer);
    avio_context_free(&container_->pb);
  }
  avformat_free_context(container_);
}

int Muxer::write_bytes(void* self, uint8_t* bytes, int count) {
  auto& muxer = *static_cast<Muxer*>(self);
  try {
    const uint64_t at = muxer.file_.position();
    for (uint64_t i = at; i < std::min<uint64_t>(at + static_cast<uint64_t>(count), muxer.head_.size()); ++i)
      muxer.head_[i] = bytes[i - at];
    muxer.file_.write(std::span<const uint8_t>(bytes, static_cast<size_t>(count)));
    return count;
  } catch (...) {
    muxer.failure_ = std::current_exception();
    return AVERROR(EIO);
  }
}

int64_t Muxer::seek(void* self, int64_t offset, int whence) {
  auto& muxer = *static_cast<Muxer*>(self);
  try {
    const auto size = static_cast<int64_t>(muxer.file_.size());
    if (whence == AVSEEK_SIZE) return size;
    const int64_t base = whence == SEEK_SET   ? 0
                         : whence == SEEK_END ? size
                                              : static_cast<int64_t>(muxer.file_.position());
    if (base + offset < 0) return AVERROR(EINVAL);
    muxer.file_.seek(static_cast<uint64_t>(base + offset));
    return base + offset;
  } catch (...) {
    muxer.failure_ = std::current_exception();
    return AVERROR(EIO);
  }
}

int Muxer::checked(int code, const char* what) {
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  check(code, what, file_.target());
  // Errors of a flush that the container did not pass on.
  if (container_->pb->error < 0) check(container_->pb->error, what, file_.target());
  return code;
}

AVStream& Muxer::add_stream(AVCodecContext& encoder, AVDictionary** options) {
  if (container_->oformat->flags & AVFMT_GLOBALHEADER) encoder.flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  encoder.flags |= AV_CODEC_FLAG_BITEXACT;
  check(avcodec_open2(&encoder, encoder.codec, options), "opening the encoder", file_.target());
  AVStream* stream = avformat_new_stream(container_, nullptr);
  if (!stream)
    throw Error(ErrorKind::resource, "there is not enough memory for the video file", "close other programs");
  check(avcodec_parameters_from_context(stream->codecpar, &encoder), "describing the video", file_.target());
  stream->time_base = encoder.time_base;
  stream->avg_frame_rate = encoder.framerate;
  stream->r_frame_rate = encoder.framerate;
  return *stream;
}

void Muxer::write_header(AVDictionary** options) { checked(avformat_write_header(container_, options), "writing"); }

void Muxer::encode(AVCodecContext& encoder, AVStream& stream, const AVFrame* frame) {
  checked(avcodec_send_frame(&encoder, frame), "encoding");
  const PacketPtr packet(av_packet_alloc());
  for (;;) {
    const int code = avcodec_receive_packet(&encoder, packet.get());
    if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return;
    checked(code, "encoding");
    if (packet->duration == 0) packet->duration = 1;
    av_packet_rescale_ts(packet.get(), encoder.time_base, stream.time_base);
    packet->stream_index = stream.index;
    write(*packet);
  }
}

void Muxer::write(AVPacket& packet) { checked(av_interleaved_write_frame(container_, &packet), "writing"); }

void Muxer::write_trailer() {
  checked(av_write_trailer(container_), "finishing");
  avio_flush(container_->pb);
  checked(0, "finishing");
}

}  // namespace prax::media

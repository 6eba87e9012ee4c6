#include "media/still.h"

#include <algorithm>
#include <cstring>

#include "media/input.h"
#include "media/metadata.h"
#include "media/picture.h"

namespace prax::media {

namespace {

constexpr size_t png_chunk_head = 8, chunk_rest = 4;  // length and type before the data, the checksum behind

uint32_t big(std::span<const uint8_t> bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | bytes[at + i];
  return value;
}

bool begins(std::span<const uint8_t> bytes, std::string_view with) {
  return bytes.size() >= with.size() && std::memcmp(bytes.data(), with.data(), with.size()) == 0;
}

std::string_view text_of(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

//! Calls take(type, data) for every whole chunk until it answers false.
template <typename Take>
void png_chunks(std::span<const uint8_t> png, Take take) {
  for (size_t at = png_signature.size(); at + png_chunk_head + chunk_rest <= png.size();) {
    const size_t size = big(png, at, 4);
    if (size > png.size() - at - png_chunk_head - chunk_rest) return;
    if (!take(text_of(png.subspan(at + 4, 4)), png.subspan(at + png_chunk_head, size))) return;
    at += png_chunk_head + size + chunk_rest;
  }
}

// Memory that a damaged file leaves unwritten must not show.
int zeroed_buffer(AVCodecContext* decoder, AVFrame* frame, int flags) {
  const int result = avcodec_default_get_buffer2(decoder, frame, flags);
  for (size_t i = 0; result >= 0 && i < std::size(frame->buf) && frame->buf[i]; ++i)
    std::memset(frame->buf[i]->data, 0, static_cast<size_t>(frame->buf[i]->size));
  return result;
}

}  // namespace

StillKind still_kind(std::string_view head) {
  if (head.starts_with(png_signature)) return StillKind::png;
  if (head.starts_with("\xff\xd8\xff")) return StillKind::jpeg;
  if (head.starts_with("RIFF") && head.substr(std::min<size_t>(8, head.size())).starts_with("WEBP"))
    return StillKind::webp;
  return StillKind::none;
}

bool is_animated_png(std::span<const uint8_t> png) {
  bool animated = false;
  png_chunks(png, [&](std::string_view type, std::span<const uint8_t>) {
    animated = animated || type == "acTL";
    return !animated && type != "IDAT";
  });
  return animated;
}

Orientation check_png(std::span<const uint8_t> png, const std::string& name) {
  bool ended = false;
  Orientation orientation = upright;
  png_chunks(png, [&](std::string_view type, std::span<const uint8_t> data) {
    if (type == "IHDR" && data.size() >= 8)
      require_picture_size(MediaKind::picture, name, big(data, 0, 4), big(data, 4, 4));
    if (type == "eXIf") orientation = exif_orientation(data);
    ended = type == "IEND";
    return !ended;
  });
  if (!ended) refuse(MediaKind::picture, name, "the PNG is cut off or damaged");
  if (orientation == upright) {
    const Metadata texts = png_text(png);
    if (const auto xmp = texts.find("XML:com.adobe.xmp"); xmp != texts.end())
      orientation = xmp_orientation(xmp->second);
  }
  return orientation;
}

// ITU-T T.81, annex B: markers, each but the stand-alone ones with a length; behind SOS entropy-coded bytes, in which
// FF is followed by 0 or a restart marker.
Orientation check_jpeg(std::span<const uint8_t> jpeg, const std::string& name) {
  constexpr uint8_t restart_first = 0xd0, image_end = 0xd9, scan = 0xda, app1 = 0xe1;
  const auto is_frame = [](uint8_t marker) {
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
  };
  Orientation exif = upright, xmp = upright;
  size_t at = 2;
  while (at + 1 < jpeg.size()) {
    if (jpeg[at] != 0xff || jpeg[at + 1] == 0 || jpeg[at + 1] == 0xff) {
      ++at;
      continue;
    }
    const uint8_t marker = jpeg[at + 1];
    at += 2;
    if (marker == image_end) return exif != upright ? exif : xmp;
    if ((marker >= restart_first && marker < image_end) || marker == 1) continue;
    if (at + 2 > jpeg.size()) break;
    const size_t length = big(jpeg, at, 2);
    if (length < 2 || length > jpeg.size() - at) break;
    const auto data = jpeg.subspan(at + 2, length - 2);
    if (is_frame(marker) && data.size() >= 5)
      require_picture_size(MediaKind::picture, name, big(data, 3, 2), big(data, 1, 2));
    if (marker == app1 && begins(data, std::string_view("Exif\0\0", 6))) exif = exif_orientation(data);
    if (marker == app1 && begins(data, "http://ns.adobe.com/xap/1.0/")) xmp = xmp_orientation(text_of(data));
    at += length;
    if (marker == scan) {
      while (at + 1 < jpeg.size() && (jpeg[at] != 0xff || jpeg[at + 1] == 0)) ++at;
    }
  }
  refuse(MediaKind::picture, name, "the JPEG is cut off or damaged");
}

std::vector<uint8_t> png_without_texts(std::span<const uint8_t> png) {
  std::vector<uint8_t> bare(png.begin(), png.begin() + static_cast<ptrdiff_t>(png_signature.size()));
  png_chunks(png, [&](std::string_view type, std::span<const uint8_t> data) {
    if (type == "tEXt" || type == "zTXt" || type == "iTXt" || type == "iCCP") return true;
    const uint8_t* begin = data.data() - png_chunk_head;
    bare.insert(bare.end(), begin, begin + png_chunk_head + data.size() + chunk_rest);
    return type != "IEND";
  });
  return bare;
}

FramePtr decode_still(AVCodecID id, std::span<const uint8_t> file, const std::string& name) {
  quiet_ffmpeg();
  const AVCodec* codec = avcodec_find_decoder(id);
  if (!codec) refuse(MediaKind::picture, name, "this FFmpeg has no decoder for it");
  const CodecContext decoder(allocated(avcodec_alloc_context3(codec)));
  decoder->thread_count = 1;
  decoder->err_recognition = AV_EF_CRCCHECK | AV_EF_EXPLODE;
  decoder->idct_algo = FF_IDCT_INT;  // libjpeg's "islow"
  decoder->max_pixels = int64_t{longest_picture_side} * longest_picture_side;
  decoder->get_buffer2 = &zeroed_buffer;
  const auto checked = [&](int result) {
    if (result < 0)
      refuse(MediaKind::picture, name, result == AVERROR(EAGAIN) ? "there is no picture in it" : words_of(result));
  };
  checked(avcodec_open2(decoder.get(), codec, nullptr));
  const PacketPtr packet(allocated(av_packet_alloc()));
  if (file.size() > static_cast<size_t>(INT32_MAX) - AV_INPUT_BUFFER_PADDING_SIZE)
    refuse(MediaKind::picture, name, "the file is over two gigabytes long");
  checked(av_new_packet(packet.get(), static_cast<int>(file.size())));
  std::memcpy(packet->data, file.data(), file.size());
  packet->flags |= AV_PKT_FLAG_KEY;
  checked(avcodec_send_packet(decoder.get(), packet.get()));
  checked(avcodec_send_packet(decoder.get(), nullptr));
  FramePtr frame(allocated(av_frame_alloc()));
  checked(avcodec_receive_frame(decoder.get(), frame.get()));
  require_picture_size(MediaKind::picture, name, frame->width, frame->height);
  return frame;
}

}  // namespace prax::media

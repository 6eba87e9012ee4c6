#include "media/webp.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "media/ffmpeg.h"
#include "media/input.h"
#include "media/still.h"
#include "media/to_rgb.h"

namespace prax::media {

namespace {

constexpr size_t riff_head = 12, webp_chunk_head = 8, frame_head = 16, extended_head = 10;

uint32_t little(std::span<const uint8_t> bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = count; i-- > 0;) value = value << 8 | bytes[at + i];
  return value;
}

[[noreturn]] void refuse_webp(const std::string& name, const std::string& why) {
  refuse(MediaKind::picture, name, "the WebP " + why);
}

//! Calls take(type, data, whole) for every chunk; `whole` has the chunk's head and padding too.
template <typename Take>
void chunks_of(std::span<const uint8_t> bytes, const std::string& name, Take take) {
  for (size_t at = 0; at < bytes.size();) {
    if (bytes.size() - at < webp_chunk_head) refuse_webp(name, "is cut off");
    const size_t size = little(bytes, at + 4, 4);
    if (size > bytes.size() - at - webp_chunk_head) refuse_webp(name, "is cut off");
    const std::string_view type(reinterpret_cast<const char*>(bytes.data() + at), 4);
    // The padding byte of the last chunk is forgotten by some writers.
    const size_t whole = std::min(webp_chunk_head + size + size % 2, bytes.size() - at);
    take(type, bytes.subspan(at + webp_chunk_head, size), bytes.subspan(at, whole));
    at += whole;
  }
}

void append_little(std::vector<uint8_t>& bytes, uint32_t value, int count) {
  for (int i = 0; i < count; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

void append_text(std::vector<uint8_t>& bytes, std::string_view text) {
  bytes.insert(bytes.end(), text.begin(), text.end());
}

//! A frame's chunks as a file of their own, which the decoder can read.
std::vector<uint8_t> still_file(const WebpFrame& frame, const std::string& name) {
  constexpr uint32_t has_alpha = 0x10;
  bool alpha = false;
  std::vector<uint8_t> picture;
  chunks_of(frame.chunks, name, [&](std::string_view type, std::span<const uint8_t>, std::span<const uint8_t> whole) {
    if (type != "ALPH" && type != "VP8 " && type != "VP8L") return;
    alpha = alpha || type == "ALPH";
    picture.insert(picture.end(), whole.begin(), whole.end());
    if (picture.size() % 2) picture.push_back(0);
  });
  if (picture.empty()) refuse_webp(name, "has a frame without a picture");
  std::vector<uint8_t> file;
  append_text(file, "RIFF");
  const size_t extended = alpha ? webp_chunk_head + extended_head : 0;
  append_little(file, static_cast<uint32_t>(4 + extended + picture.size()), 4);
  append_text(file, "WEBP");
  if (alpha) {
    append_text(file, "VP8X");
    append_little(file, extended_head, 4);
    append_little(file, has_alpha, 4);
    append_little(file, static_cast<uint32_t>(frame.width - 1), 3);
    append_little(file, static_cast<uint32_t>(frame.height - 1), 3);
  }
  file.insert(file.end(), picture.begin(), picture.end());
  return file;
}

//! libwebp's BlendPixelNonPremult() (demux/anim_decode.c) of one pixel over another.
void blend(const uint8_t* over, uint8_t* under) {
  const uint32_t alpha = over[3];
  if (alpha == 255) {
    std::copy_n(over, 4, under);
    return;
  }
  if (alpha == 0) return;
  const uint32_t kept = (under[3] * (256 - alpha)) >> 8;
  const uint32_t together = alpha + kept;
  const uint32_t scale = (1u << 24) / together;
  for (int c = 0; c < 3; ++c) under[c] = static_cast<uint8_t>((over[c] * alpha + under[c] * kept) * scale >> 24);
  under[3] = static_cast<uint8_t>(together);
}

}  // namespace

WebpFile parse_webp(std::span<const uint8_t> file, const std::string& name) {
  constexpr uint8_t animation_flag = 0x02, disposes = 0x01, replaces = 0x02;
  if (file.size() < riff_head || std::memcmp(file.data(), "RIFF", 4) != 0 ||
      std::memcmp(file.data() + 8, "WEBP", 4) != 0)
    refuse_webp(name, "has no header");
  const uint64_t size = uint64_t{little(file, 4, 4)} + 8;
  if (size > file.size() || size < riff_head) refuse_webp(name, "is cut off");
  // What is behind the end that the header gives is no part of it.
  const auto body = file.subspan(riff_head, static_cast<size_t>(size) - riff_head);
  WebpFile result;
  Orientation xmp = upright;
  WebpFrame still;
  chunks_of(body, name, [&](std::string_view type, std::span<const uint8_t> data, std::span<const uint8_t> whole) {
    if (type == "VP8X" && data.size() >= extended_head) {
      result.animated = (data[0] & animation_flag) != 0;
      result.width = static_cast<int>(little(data, 4, 3)) + 1;
      result.height = static_cast<int>(little(data, 7, 3)) + 1;
    } else if (type == "ANMF") {
      if (data.size() < frame_head) refuse_webp(name, "has a broken frame");
      WebpFrame frame;
      frame.x = static_cast<int>(little(data, 0, 3)) * 2;
      frame.y = static_cast<int>(little(data, 3, 3)) * 2;
      frame.width = static_cast<int>(little(data, 6, 3)) + 1;
      frame.height = static_cast<int>(little(data, 9, 3)) + 1;
      frame.milliseconds = static_cast<int>(little(data, 12, 3));
      frame.disposes = (data[15] & disposes) != 0;
      frame.blends = (data[15] & replaces) == 0;
      frame.chunks = data.subspan(frame_head);
      if (frame.x + frame.width > result.width || frame.y + frame.height > result.height)
        refuse_webp(name, "has a frame outside of its picture");
      result.frames.push_back(frame);
    } else if (type == "EXIF") {
      result.orientation = exif_orientation(data);
    } else if (type == "XMP ") {
      xmp = xmp_orientation({reinterpret_cast<const char*>(data.data()), data.size()});
    } else if ((type == "VP8 " || type == "VP8L") && still.chunks.empty()) {
      still.chunks = whole;
      // RFC 6386, 9.1: 14 bits each behind the start code; RFC 9649, 3.4: 14 bits each less one.
      if (type == "VP8 " && data.size() >= 10) {
        still.width = static_cast<int>(little(data, 6, 2) & 0x3fff);
        still.height = static_cast<int>(little(data, 8, 2) & 0x3fff);
      } else if (type == "VP8L" && data.size() >= 5) {
        still.width = static_cast<int>(little(data, 1, 4) & 0x3fff) + 1;
        still.height = static_cast<int>(little(data, 1, 4) >> 14 & 0x3fff) + 1;
      }
    }
  });
  if (result.orientation == upright) result.orientation = xmp;
  if (result.animated ? result.frames.empty() : still.chunks.empty()) refuse_webp(name, "has no picture");
  if (!result.animated) {
    if (result.width == 0) {
      result.width = still.width;
      result.height = still.height;
    }
    result.frames = {still};
  }
  require_picture_size(MediaKind::picture, name, result.width, result.height);
  return result;
}

WebpCanvas::WebpCanvas(const WebpFile& file, const std::string& name)
    : file_(file), name_(name), rgba_(static_cast<size_t>(file.width) * static_cast<size_t>(file.height) * 4) {}

bool WebpCanvas::next() {
  const size_t line = static_cast<size_t>(file_.width) * 4;
  const auto place = [&](const WebpFrame& frame, int y) {
    return rgba_.data() + static_cast<size_t>(frame.y + y) * line + static_cast<size_t>(frame.x) * 4;
  };
  if (drawn_ > 0 && file_.frames[drawn_ - 1].disposes) {
    const WebpFrame& before = file_.frames[drawn_ - 1];
    for (int y = 0; y < before.height; ++y)
      std::fill_n(place(before, y), static_cast<size_t>(before.width) * 4, uint8_t{0});
  }
  if (drawn_ == file_.frames.size()) return false;
  const WebpFrame& frame = file_.frames[drawn_++];
  const FramePtr decoded = decode_still(AV_CODEC_ID_WEBP, still_file(frame, name_), name_);
  if (decoded->width != frame.width || decoded->height != frame.height)
    refuse_webp(name_, "has a frame of another size than announced");
  const std::vector<uint8_t> rgba = ToRgb(*decoded, Colours::webp, name_).rgba(*decoded);
  const size_t row = static_cast<size_t>(frame.width) * 4;
  for (int y = 0; y < frame.height; ++y) {
    const uint8_t* from = rgba.data() + static_cast<size_t>(y) * row;
    uint8_t* to = place(frame, y);
    if (!frame.blends) {
      std::copy_n(from, row, to);
    } else {
      for (size_t i = 0; i < row; i += 4) blend(from + i, to + i);
    }
  }
  return true;
}

Picture WebpCanvas::picture() const {
  Picture result(file_.width, file_.height);
  over_white(rgba_, result.rgb.data());
  return turned_upright(std::move(result), file_.orientation);
}

}  // namespace prax::media

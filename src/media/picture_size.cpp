#include "media/picture_size.h"

#include <algorithm>

#include "media/still.h"

namespace prax::media {
namespace {

uint32_t byte_at(std::string_view bytes, size_t at) { return static_cast<unsigned char>(bytes[at]); }

uint32_t big(std::string_view bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | byte_at(bytes, at + i);
  return value;
}

uint32_t little(std::string_view bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = count; i-- > 0;) value = value << 8 | byte_at(bytes, at + i);
  return value;
}

//! PNG specification, 11.2.1: IHDR comes first.
std::optional<PictureSize> png_size(std::string_view head) {
  constexpr size_t width_at = 16, height_at = 20, enough = 24;
  if (head.size() < enough || head.substr(12, 4) != "IHDR") return std::nullopt;
  return PictureSize{big(head, width_at, 4), big(head, height_at, 4)};
}

//! ITU T.81, B.2.2: a start of frame is SOF0 to SOF15 but DHT, JPG and DAC.
std::optional<PictureSize> jpeg_size(std::string_view head) {
  size_t at = 2;
  while (at + 9 < head.size()) {
    if (byte_at(head, at) != 0xFF) return std::nullopt;
    const uint32_t marker = byte_at(head, at + 1);
    if (marker == 0xFF) {  // a fill byte
      ++at;
      continue;
    }
    if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC)
      return PictureSize{big(head, at + 7, 2), big(head, at + 5, 2)};
    const bool alone = marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8);
    at += alone ? 2 : 2 + std::max<size_t>(2, big(head, at + 2, 2));
  }
  return std::nullopt;
}

//! RFC 9649, 2.5 to 2.7. An extended file's canvas is at least as large as its frames.
std::optional<PictureSize> webp_size(std::string_view head) {
  constexpr size_t enough = 30;
  if (head.size() < enough) return std::nullopt;
  const std::string_view kind = head.substr(12, 4);
  if (kind == "VP8X") return PictureSize{int64_t{little(head, 24, 3)} + 1, int64_t{little(head, 27, 3)} + 1};
  if (kind == "VP8L") {
    const uint32_t bits = little(head, 21, 4);
    return PictureSize{(bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1};
  }
  if (kind == "VP8 ") return PictureSize{little(head, 26, 2) & 0x3FFF, little(head, 28, 2) & 0x3FFF};
  return std::nullopt;
}

}  // namespace

std::optional<PictureSize> stated_picture_size(std::string_view head) {
  switch (still_kind(head)) {
    case StillKind::png:
      return png_size(head);
    case StillKind::jpeg:
      return jpeg_size(head);
    case StillKind::webp:
      return webp_size(head);
    case StillKind::none:
      break;
  }
  return std::nullopt;
}

}  // namespace prax::media

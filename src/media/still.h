#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "media/ffmpeg.h"
#include "media/orientation.h"

namespace prax::media {

//! The kinds of picture files that are taken apart here before their picture is decoded.
enum class StillKind { none, png, jpeg, webp };
StillKind still_kind(std::string_view head);

//! A PNG with an animation (APNG) is a clip: its acTL chunk comes before the picture's data.
bool is_animated_png(std::span<const uint8_t> png);

//! Checks the structure of a PNG or JPEG file; Error(input) when it is cut off. How its picture is to be turned.
Orientation check_png(std::span<const uint8_t> png, const std::string& name);
Orientation check_jpeg(std::span<const uint8_t> jpeg, const std::string& name);

//! A PNG file without its texts and its colour profile, which nobody reads here: packed, they may be a thousand times
//! as large as they look, and the decoder unpacks them whole.
std::vector<uint8_t> png_without_texts(std::span<const uint8_t> png);

//! Decodes the one picture of a file. Error(input) on any damage.
FramePtr decode_still(AVCodecID codec, std::span<const uint8_t> file, const std::string& name);

}  // namespace prax::media

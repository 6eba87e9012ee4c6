#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace prax::media {

//! 0..1 to 0..255, rounded to nearest; what is outside is clamped and NaN becomes 0.
uint8_t to_byte(float value);
void to_bytes(std::span<const float> values, std::span<uint8_t> bytes);

//! 0..255 to 0..1.
void to_floats(std::span<const uint8_t> bytes, std::vector<float>& values);

//! How R'G'B' becomes Y'CbCr.
struct YuvRule {
  float kr;          //!< weight of red in luma
  float kb;          //!< weight of blue in luma
  bool full_range;   //!< 0..255, else 16..235 and 16..240
  bool left_chroma;  //!< chroma sits on the left pixel of each pair, else between the two

  //! ITU-R BT.709-6, items 3.2 to 3.4, 8 bits, chroma sited as in H.264 by default.
  static constexpr YuvRule bt709() { return {0.2126f, 0.0722f, false, true}; }
  //! ITU-T T.871 (JFIF): BT.601 weights, full range, chroma between the pixels.
  static constexpr YuvRule jpeg() { return {0.299f, 0.114f, true, false}; }
};

//! The three planes of a 4:2:0 picture; chroma planes have ceil(width/2) x ceil(height/2) samples.
struct YuvPlanes {
  std::array<uint8_t*, 3> data{};
  std::array<int, 3> stride{};
};

//! [height, width, 3] in 0..1 to 4:2:0. Luma and chroma are rounded once, from the floats. Chroma is the mean of two
//! rows; across, the mean of two pixels, or 1/4, 1/2, 1/4 around the left one when it is sited there.
void rgb_to_yuv420(std::span<const float> rgb, int width, int height, const YuvRule& rule, const YuvPlanes& planes);

//! Scales [height, width, 3] by averaging the area that each new pixel covers; for making pictures smaller.
void shrink(std::span<const float> rgb, int width, int height, std::span<float> result, int new_width, int new_height);

}  // namespace prax::media

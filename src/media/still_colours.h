#pragma once

#include <cstdint>
#include <span>

namespace prax::media {

//! A plane of 8-bit samples; rows and columns outside repeat the edge.
struct Plane {
  const uint8_t* data;
  int stride;
  int width;
  int height;

  const uint8_t* row(int y) const {
    const int inside = y < 0 ? 0 : y >= height ? height - 1 : y;
    return data + static_cast<int64_t>(inside) * stride;
  }
};

//! Row `y` of a chroma plane at full size, `row.size()` wide, as libjpeg-turbo's "fancy upsampling" makes it
//! (jdsample.c): weights 3/4 and 1/4 where a direction is halved, else repeated. `across` and `down` are the
//! logarithms of the ratios.
void upsample_jpeg(const Plane& plane, int across, int down, int y, std::span<uint8_t> row);
//! The same for 4:2:0 as libwebp makes it (dsp/upsampling.c): 9/16, 3/16, 3/16, 1/16.
void upsample_webp(const Plane& plane, int y, std::span<uint8_t> row);

//! Full range BT.601 to RGBA (alpha untouched), in libjpeg's fixed point with 16 bits (jdcolor.c, build_ycc_rgb_table).
void jpeg_to_rgba(const uint8_t* luma, std::span<const uint8_t> cb, std::span<const uint8_t> cr, uint8_t* rgba);
//! Limited range BT.601 in libwebp's fixed point (dsp/yuv.h).
void webp_to_rgba(const uint8_t* luma, std::span<const uint8_t> cb, std::span<const uint8_t> cr, uint8_t* rgba);

}  // namespace prax::media

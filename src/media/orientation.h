#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "media/picture.h"

namespace prax::media {

//! How a picture was stored, as EXIF 2.32 counts it (4.6.4, tag 0x0112): 1 upright; 2 mirrored; 3 turned by 180
//! degrees; 4 flipped; 5 transposed; 6 to be turned right; 7 transversed; 8 to be turned left.
using Orientation = int;
inline constexpr Orientation upright = 1;

//! Whether width and height change places.
inline bool swaps_sides(Orientation orientation) { return orientation >= 5; }

//! The picture as it is to be seen.
Picture turned_upright(Picture picture, Orientation orientation);

//! Of an EXIF block (it starts with the TIFF header, or with "Exif" and two zeros before it); upright when it says
//! nothing sensible.
Orientation exif_orientation(std::span<const uint8_t> exif);
//! Of an XMP packet (tiff:Orientation); upright when it says nothing sensible.
Orientation xmp_orientation(std::string_view xmp);
//! Of a stream's display matrix (ISO/IEC 14496-12, 8.3.2: [a b u c d v x y w], x' = ax + cy, y' = bx + dy); upright
//! unless it turns by a multiple of 90 degrees.
Orientation matrix_orientation(std::span<const int32_t, 9> matrix);

}  // namespace prax::media

#include "media/orientation.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace prax::media {

namespace {

Orientation sensible(unsigned value) { return value >= 1 && value <= 8 ? static_cast<Orientation>(value) : upright; }

}  // namespace

Picture turned_upright(Picture picture, Orientation orientation) {
  if (orientation <= upright || orientation > 8) return picture;
  const int width = picture.width, height = picture.height;
  const ptrdiff_t column = 3, row = static_cast<ptrdiff_t>(width) * 3;
  // Where the upright picture's rows and columns go in the stored one.
  const bool swapped = swaps_sides(orientation);
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const ptrdiff_t along_stored_row = from_right ? -column : column, down_stored = from_bottom ? -row : row;
  const ptrdiff_t across = swapped ? down_stored : along_stored_row, down = swapped ? along_stored_row : down_stored;
  const ptrdiff_t start = (from_right ? (width - 1) * column : 0) + (from_bottom ? (height - 1) * row : 0);
  Picture result = swapped ? Picture(height, width) : Picture(width, height);
  for (int y = 0; y < result.height; ++y) {
    uint8_t* out = result.row(y);
    const uint8_t* stored = picture.rgb.data();
    for (int x = 0; x < result.width; ++x, out += 3) std::copy_n(stored + start + y * down + x * across, 3, out);
  }
  return result;
}

Orientation exif_orientation(std::span<const uint8_t> exif) {
  constexpr std::string_view prefix("Exif\0\0", 6);
  constexpr size_t header = 8, entry_bytes = 12;
  constexpr unsigned orientation_tag = 0x0112, type_short = 3, type_long = 4;
  if (exif.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), exif.begin())) {
    exif = exif.subspan(prefix.size());
  }
  if (exif.size() < header) return upright;
  const bool little = exif[0] == 'I' && exif[1] == 'I';
  if (!little && !(exif[0] == 'M' && exif[1] == 'M')) return upright;
  const auto number = [&](size_t at, size_t bytes) {
    unsigned value = 0;
    for (size_t i = 0; i < bytes; ++i) value = value << 8 | exif[little ? at + bytes - 1 - i : at + i];
    return value;
  };
  const size_t directory = number(4, 4);
  if (number(2, 2) != 42 || directory > exif.size() - 2) return upright;
  const size_t entries = number(directory, 2);
  for (size_t i = 0; i < entries; ++i) {
    const size_t at = directory + 2 + i * entry_bytes;
    if (at + entry_bytes > exif.size()) break;
    if (number(at, 2) != orientation_tag) continue;
    const unsigned type = number(at + 2, 2);
    if (type == type_short) return sensible(number(at + 8, 2));
    if (type == type_long) return sensible(number(at + 8, 4));
    break;
  }
  return upright;
}

Orientation xmp_orientation(std::string_view xmp) {
  // As an attribute (tiff:Orientation="6") or an element (<tiff:Orientation>6<).
  constexpr std::string_view name = "tiff:Orientation";
  for (size_t at = xmp.find(name); at != std::string_view::npos; at = xmp.find(name, at + 1)) {
    std::string_view rest = xmp.substr(at + name.size());
    if (rest.starts_with("=\"")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with(">")) {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    if (!rest.empty() && std::isdigit(static_cast<unsigned char>(rest.front())))
      return sensible(static_cast<unsigned>(rest.front() - '0'));
  }
  return upright;
}

Orientation matrix_orientation(std::span<const int32_t, 9> matrix) {
  const int32_t a = matrix[0], b = matrix[1], c = matrix[3], d = matrix[4];
  if (b == 0 && c == 0 && a != 0 && d != 0) {
    if (a > 0) return d > 0 ? 1 : 4;
    return d > 0 ? 2 : 3;
  }
  if (a == 0 && d == 0 && b != 0 && c != 0) {
    if (c > 0) return b > 0 ? 5 : 8;
    return b > 0 ? 6 : 7;
  }
  return upright;
}

}  // namespace prax::media

#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace prax::media {

//! A picture in 8 bits a channel.
struct Picture {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb;  //!< [height, width, 3], row-major

  Picture() = default;
  //! Black.
  Picture(int picture_width, int picture_height)
      : width(picture_width),
        height(picture_height),
        rgb(static_cast<size_t>(picture_width) * static_cast<size_t>(picture_height) * 3) {}

  const uint8_t* row(int y) const { return rgb.data() + static_cast<size_t>(y) * static_cast<size_t>(width) * 3; }
  uint8_t* row(int y) { return rgb.data() + static_cast<size_t>(y) * static_cast<size_t>(width) * 3; }
  bool operator==(const Picture&) const = default;
};

//! Neither side of a picture that is read may be longer.
inline constexpr int longest_picture_side = 16384;

//! Reads a picture of any kind that FFmpeg knows: PNG, JPEG, WebP, GIF, BMP, TIFF ... A moving one (GIF, WebP, a video)
//! gives its first frame. What comes equals Pillow's Image.open(), ImageOps.exif_transpose() and convert("RGB") (the
//! reference's load_image): PNG exactly, JPEG and WebP with libjpeg's and libwebp's way from Y'CbCr to RGB. Two things
//! are as people see them instead: what is transparent shows white (Pillow drops the alpha channel), and grey in 16
//! bits keeps its high byte (Pillow cuts at 255). Of other pictures in 16 bits the high byte counts too, as in Pillow.
//! Throws Error(io) when the file cannot be opened, Error(input) when it holds no picture, is cut off or damaged, or is
//! larger than longest_picture_side.
Picture read_picture(const std::filesystem::path& path);

//! The same from a file's bytes; `name` is what messages call it.
Picture decode_picture(std::span<const uint8_t> file, const std::string& name);

}  // namespace prax::media

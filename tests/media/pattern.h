#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "media/picture.h"

namespace prax::media {

//! Ramps with noise; as pattern() of tests/data/pictures/make.py.
inline Picture pattern(int width, int height) {
  Picture picture(width, height);
  uint32_t state = 12345;
  for (size_t i = 0; i < picture.rgb.size(); ++i) {
    state = state * 1664525u + 1013904223u;
    const size_t x = i / 3 % static_cast<size_t>(width), y = i / 3 / static_cast<size_t>(width);
    picture.rgb[i] = static_cast<uint8_t>(x * 7 + y * 5 * (i % 3) + (state >> 26));
  }
  return picture;
}

//! FNV-1a of the pixels.
inline uint64_t hash(const Picture& picture) {
  uint64_t value = 0xcbf29ce484222325u;
  for (const uint8_t byte : picture.rgb) value = (value ^ byte) * 0x100000001b3u;
  return value;
}

inline std::filesystem::path sample(const std::string& name) {
  return std::filesystem::path(PRAX_TEST_DATA) / "pictures" / name;
}

}  // namespace prax::media

#include "media/still_colours.h"

#include <algorithm>

namespace prax::media {

namespace {

// Twice as many samples; `at(i)` is sample i times some unit. libjpeg alternates between the two roundings.
template <typename At>
void double_across(int count, std::span<uint8_t> row, int shift, int round_left, int round_right, At at) {
  const auto width = static_cast<int>(row.size());
  int before = at(0), here = before;
  for (int i = 0; i < count; ++i) {
    // Outer samples have no neighbour: the same twice, which is what the special cases of libjpeg compute.
    const int behind = i + 1 < count ? at(i + 1) : here;
    row[static_cast<size_t>(2 * i)] = static_cast<uint8_t>((3 * here + before + round_left) >> shift);
    if (2 * i + 1 < width)
      row[static_cast<size_t>(2 * i + 1)] = static_cast<uint8_t>((3 * here + behind + round_right) >> shift);
    before = here;
    here = behind;
  }
}

uint8_t clip(int value) { return static_cast<uint8_t>(std::clamp(value, 0, 255)); }

}  // namespace

void upsample_jpeg(const Plane& plane, int across, int down, int y, std::span<uint8_t> row) {
  // libjpeg takes the simple way for planes narrower than three samples, where only the columns are doubled too.
  const bool fancy = plane.width > 2;
  if (across == 0 && down == 0) {
    std::copy_n(plane.row(y), row.size(), row.begin());
  } else if (across == 1 && down == 0 && fancy) {
    const uint8_t* line = plane.row(y);
    double_across(plane.width, row, 2, 1, 2, [line](int i) { return int{line[i]}; });
  } else if (down == 1 && (across == 0 || (across == 1 && fancy))) {
    const uint8_t* near = plane.row(y / 2);
    const uint8_t* far = plane.row(y % 2 ? y / 2 + 1 : y / 2 - 1);
    if (across == 1) {
      double_across(plane.width, row, 4, 8, 7, [=](int i) { return 3 * near[i] + far[i]; });
    } else {
      const int rounding = y % 2 ? 2 : 1;
      for (size_t x = 0; x < row.size(); ++x) row[x] = static_cast<uint8_t>((3 * near[x] + far[x] + rounding) >> 2);
    }
  } else {
    const uint8_t* line = plane.row(y >> down);
    for (size_t x = 0; x < row.size(); ++x) row[x] = line[x >> across];
  }
}

void upsample_webp(const Plane& plane, int y, std::span<uint8_t> row) {
  const uint8_t* near = plane.row(y / 2);
  const uint8_t* far = plane.row(y % 2 ? y / 2 + 1 : y / 2 - 1);
  for (size_t x = 0; x < row.size(); ++x) {
    const int i = static_cast<int>(x / 2);
    const int j = std::clamp(x % 2 ? i + 1 : i - 1, 0, plane.width - 1);
    // (9 near[i] + 3 near[j] + 3 far[i] + far[j] + 8) / 16, but with the roundings of UPSAMPLE_FUNC.
    const int sum = near[i] + near[j] + far[i] + far[j] + 8;
    const int diagonal = (sum + 2 * (near[j] + far[i])) >> 3;
    row[x] = static_cast<uint8_t>(i == j ? (3 * near[i] + far[i] + 2) >> 2 : (diagonal + near[i]) >> 1);
  }
}

void jpeg_to_rgba(const uint8_t* luma, std::span<const uint8_t> cb, std::span<const uint8_t> cr, uint8_t* rgba) {
  constexpr auto fixed = [](double value) { return static_cast<int>(value * 65536 + 0.5); };
  constexpr int half = 1 << 15;
  for (size_t x = 0; x < cb.size(); ++x, rgba += 4) {
    const int y = luma[x], blue = cb[x] - 128, red = cr[x] - 128;
    rgba[0] = clip(y + ((fixed(1.40200) * red + half) >> 16));
    rgba[1] = clip(y + ((-fixed(0.34414) * blue - fixed(0.71414) * red + half) >> 16));
    rgba[2] = clip(y + ((fixed(1.77200) * blue + half) >> 16));
  }
}

void webp_to_rgba(const uint8_t* luma, std::span<const uint8_t> cb, std::span<const uint8_t> cr, uint8_t* rgba) {
  constexpr auto scaled = [](int value, int factor) { return (value * factor) >> 8; };
  constexpr int shift = 6;
  for (size_t x = 0; x < cb.size(); ++x, rgba += 4) {
    const int y = scaled(luma[x], 19077), u = cb[x], v = cr[x];
    rgba[0] = clip((y + scaled(v, 26149) - 14234) >> shift);
    rgba[1] = clip((y - scaled(u, 6419) - scaled(v, 13320) + 8708) >> shift);
    rgba[2] = clip((y + scaled(u, 33050) - 17685) >> shift);
  }
}

}  // namespace prax::media

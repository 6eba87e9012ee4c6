#include "models/pyramid_flow/sequence.h"

#include <algorithm>
#include <cmath>

namespace prax::models::pyramid_flow {

namespace {

constexpr double rope_theta = 10000.0;

}  // namespace

Sequence::Sequence(int64_t text_tokens, std::vector<ClipSize> clips)
    : text_tokens_(text_tokens), clips_(std::move(clips)) {
  int64_t begin = 0, end = text_tokens;
  for (const ClipSize& clip : clips_)
    for (int64_t t = 0; t < clip.frames; ++t) {
      end += clip.height * clip.width;
      runs_.push_back({begin, end});
      begin = end;
    }
}

Between source_of(int64_t index, int64_t size, int64_t source_size) {
  const float scale = static_cast<float>(source_size) / static_cast<float>(size);
  const float at = std::max(0.0f, scale * (static_cast<float>(index) + 0.5f) - 0.5f);
  const int64_t from = std::min(static_cast<int64_t>(at), source_size - 1);
  return {from, std::min(from + 1, source_size - 1), at - static_cast<float>(from)};
}

std::vector<float> Sequence::spread_over(int64_t count, int64_t positions) {
  std::vector<float> out(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const Between b = source_of(i, count, positions);
    out[static_cast<size_t>(i)] = (1 - b.weight) * static_cast<float>(b.from) + b.weight * static_cast<float>(b.to);
  }
  return out;
}

void write_angles(double position, int64_t channels, float* cos, float* sin) {
  for (int64_t j = 0; j < channels; j += 2) {
    const double angle =
        position * (1.0 / std::pow(rope_theta, static_cast<double>(j) / static_cast<double>(channels)));
    cos[j] = cos[j + 1] = static_cast<float>(std::cos(angle));
    sin[j] = sin[j + 1] = static_cast<float>(std::sin(angle));
  }
}

}  // namespace prax::models::pyramid_flow

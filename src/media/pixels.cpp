#include "media/pixels.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace prax::media {

namespace {

// NaN fails both comparisons of clamp's kind in this order and ends as 0.
float unit(float value) { return value > 0.0f ? (value < 1.0f ? value : 1.0f) : 0.0f; }

uint8_t rounded(float value) { return static_cast<uint8_t>(value + 0.5f); }

// One axis of an area average: for each new sample its first source sample and the weights from there on.
struct Span {
  int first;
  std::vector<float> weights;
};

std::vector<Span> area_spans(int size, int new_size) {
  std::vector<Span> spans(static_cast<size_t>(new_size));
  const double ratio = static_cast<double>(size) / new_size;
  for (int i = 0; i < new_size; ++i) {
    const double begin = i * ratio;
    const double end = std::min<double>((i + 1) * ratio, size);
    Span& span = spans[static_cast<size_t>(i)];
    span.first = static_cast<int>(begin);
    double sum = 0;
    for (int s = span.first; s < size && s < end; ++s) {
      const double covered = std::min<double>(s + 1, end) - std::max<double>(s, begin);
      span.weights.push_back(static_cast<float>(covered));
      sum += covered;
    }
    for (float& weight : span.weights) weight = static_cast<float>(weight / sum);
  }
  return spans;
}

}  // namespace

uint8_t to_byte(float value) { return static_cast<uint8_t>(std::nearbyint(unit(value) * 255.0f)); }

void to_bytes(std::span<const float> values, std::span<uint8_t> bytes) {
  for (size_t i = 0; i < values.size(); ++i) bytes[i] = to_byte(values[i]);
}

void to_floats(std::span<const uint8_t> bytes, std::vector<float>& values) {
  values.resize(bytes.size());
  for (size_t i = 0; i < bytes.size(); ++i) values[i] = static_cast<float>(bytes[i]) / 255.0f;
}

void rgb_to_yuv420(std::span<const float> rgb, int width, int height, const YuvRule& rule, const YuvPlanes& planes) {
  const float kg = 1.0f - rule.kr - rule.kb;
  const float luma_scale = rule.full_range ? 255.0f : 219.0f;
  const float luma_offset = rule.full_range ? 0.0f : 16.0f;
  const float chroma_scale = rule.full_range ? 255.0f : 224.0f;
  // Cb = (B - Y) / (2 (1 - Kb)), Cr = (R - Y) / (2 (1 - Kr)); halved once more for the mean of two rows.
  const float cb_scale = chroma_scale / (4.0f * (1.0f - rule.kb));
  const float cr_scale = chroma_scale / (4.0f * (1.0f - rule.kr));
  const float chroma_limit = rule.full_range ? 255.0f : 240.0f;

  std::vector<float> cb(static_cast<size_t>(width));
  std::vector<float> cr(static_cast<size_t>(width));
  for (int pair = 0; pair < (height + 1) / 2; ++pair) {
    std::fill(cb.begin(), cb.end(), 0.0f);
    std::fill(cr.begin(), cr.end(), 0.0f);
    for (int k = 0; k < 2; ++k) {
      const int row = std::min(2 * pair + k, height - 1);
      const float* pixel = rgb.data() + static_cast<size_t>(row) * width * 3;
      uint8_t* luma = planes.data[0] + static_cast<ptrdiff_t>(row) * planes.stride[0];
      for (int x = 0; x < width; ++x, pixel += 3) {
        const float r = unit(pixel[0]), g = unit(pixel[1]), b = unit(pixel[2]);
        const float y = rule.kr * r + kg * g + rule.kb * b;
        luma[x] = rounded(luma_offset + luma_scale * y);
        cb[static_cast<size_t>(x)] += b - y;
        cr[static_cast<size_t>(x)] += r - y;
      }
    }
    for (int plane = 1; plane < 3; ++plane) {
      const float* source = plane == 1 ? cb.data() : cr.data();
      const float scale = plane == 1 ? cb_scale : cr_scale;
      uint8_t* out = planes.data[static_cast<size_t>(plane)] +
                     static_cast<ptrdiff_t>(pair) * planes.stride[static_cast<size_t>(plane)];
      for (int x = 0; x < (width + 1) / 2; ++x) {
        const float here = source[2 * x];
        const float right = source[std::min(2 * x + 1, width - 1)];
        const float left = source[std::max(2 * x - 1, 0)];
        const float mean = rule.left_chroma ? 0.25f * (left + right) + 0.5f * here : 0.5f * (here + right);
        out[x] = rounded(std::clamp(128.0f + scale * mean, 0.0f, chroma_limit));
      }
    }
  }
}

void shrink(std::span<const float> rgb, int width, int height, std::span<float> result, int new_width, int new_height) {
  const std::vector<Span> columns = area_spans(width, new_width);
  const std::vector<Span> rows = area_spans(height, new_height);
  std::vector<float> line(static_cast<size_t>(width) * 3);
  for (int y = 0; y < new_height; ++y) {
    std::fill(line.begin(), line.end(), 0.0f);
    const Span& span = rows[static_cast<size_t>(y)];
    for (size_t k = 0; k < span.weights.size(); ++k) {
      const float* source = rgb.data() + (static_cast<size_t>(span.first) + k) * line.size();
      for (size_t i = 0; i < line.size(); ++i) line[i] += span.weights[k] * source[i];
    }
    float* out = result.data() + static_cast<size_t>(y) * new_width * 3;
    for (const Span& column : columns) {
      float sum[3] = {0, 0, 0};
      for (size_t k = 0; k < column.weights.size(); ++k) {
        const float* source = line.data() + (static_cast<size_t>(column.first) + k) * 3;
        for (int c = 0; c < 3; ++c) sum[c] += column.weights[k] * source[c];
      }
      for (float value : sum) *out++ = value;
    }
  }
}

}  // namespace prax::media

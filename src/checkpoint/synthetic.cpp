#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "checkpoint/weights.h"
#include "tensor/parallel.h"

namespace prax::checkpoint {

namespace {

//! A prime, so that rows of a matrix, whatever their length, do not fall on the same numbers.
constexpr int64_t tile_size = 1048573;
constexpr int64_t copy_grain = 1 << 18;

//! The finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
uint64_t mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t hash_of(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return mixed(hash);
}

//! Sums of four uniform 16-bit numbers (Irwin-Hall), mean 0 and deviation 1: variance 4 * (2^32 - 1) / 12.
const std::vector<float>& normal_tile() {
  static const std::vector<float> tile = [] {
    std::vector<float> values(tile_size);
    const float scale = static_cast<float>(1 / std::sqrt((0x1p32 - 1) / 3));
    for (int64_t i = 0; i < tile_size; ++i) {
      const uint64_t bits = mixed(static_cast<uint64_t>(i));
      const auto sum =
          static_cast<int64_t>((bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48));
      values[static_cast<size_t>(i)] = static_cast<float>(sum - 2 * 0xffff) * scale;
    }
    return values;
  }();
  return tile;
}

struct Distribution {
  float mean, deviation;
};

Distribution distribution_for(const std::string& name, const Shape& shape) {
  if (shape.size() > 1) {
    const int64_t fan_in = element_count(shape) / std::max<int64_t>(1, shape[0]);
    return {0.0f, 1.0f / std::sqrt(static_cast<float>(std::max<int64_t>(1, fan_in)))};
  }
  // The gain of a norm, and the deviations that latents are divided by, must not be near zero.
  const bool gain = shape.size() == 1 && (name.ends_with("weight") || name.ends_with("std") || name.ends_with("gamma"));
  return {gain ? 1.0f : 0.0f, 0.02f};
}

}  // namespace

SyntheticSource::SyntheticSource(DType dtype) : dtype_(dtype) {
  if (dtype != DType::f32 && dtype != DType::bf16 && dtype != DType::f16)
    throw Error(ErrorKind::usage, "synthetic weights cannot be of type " + std::string(name_of(dtype)),
                "use f32, bf16 or f16");
}

Tensor SyntheticSource::get(const std::string& name, const Shape& shape) {
  const auto [mean, deviation] = distribution_for(name, shape);
  const auto& tile = normal_tile();
  const int64_t count = element_count(shape), head = std::min(count, tile_size);
  const auto start = static_cast<int64_t>(hash_of(name) % tile_size);
  Tensor scaled = Tensor::empty({head});
  float* out = scaled.data<float>();
  const int64_t before_wrap = std::min(head, tile_size - start);
  for (int64_t i = 0; i < before_wrap; ++i) out[i] = mean + deviation * tile[static_cast<size_t>(start + i)];
  for (int64_t i = before_wrap; i < head; ++i) out[i] = mean + deviation * tile[static_cast<size_t>(i - before_wrap)];
  const Tensor converted = scaled.to(dtype_);
  if (count == head) return converted.view(shape);

  Tensor tensor = Tensor::empty(shape, dtype_);
  const size_t width = size_of(dtype_);
  const auto* from = static_cast<const char*>(converted.raw());
  auto* to = static_cast<char*>(tensor.raw());
  parallel_for(count, copy_grain, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t at = begin % tile_size, run = std::min(end - begin, tile_size - at);
      std::memcpy(to + static_cast<size_t>(begin) * width, from + static_cast<size_t>(at) * width,
                  static_cast<size_t>(run) * width);
      begin += run;
    }
  });
  return tensor;
}

}  // namespace prax::checkpoint

#include "nn/frame.h"

#include <algorithm>
#include <cstring>

#include "tensor/parallel.h"

namespace prax::nn {

namespace {

int64_t rows_grain(int64_t width, int64_t channels) { return std::max<int64_t>(1, 32768 / (width * channels + 1)); }

}  // namespace

Frame Frame::empty(int64_t height, int64_t width, int64_t channels) {
  Frame f{height, width, channels, {}};
  f.data = Tensor::empty({height * f.row_pixels(), channels});
  return f;
}

Plane Plane::zeros(int64_t height, int64_t width, int64_t pitch, DType dtype) {
  return {height, width, pitch, Tensor::zeros({(height + 2) * (width + 2) + Plane::slack(width + 2), pitch}, dtype)};
}

void convert(const Tensor& from, Tensor& to) {
  constexpr int64_t grain = 65536;
  const auto at = [](const Tensor& t, int64_t i) {
    return static_cast<char*>(const_cast<void*>(t.raw())) + static_cast<size_t>(i) * size_of(t.dtype());
  };
  parallel_for(from.numel(), grain, [&](int64_t begin, int64_t end) {
    kernels::kernels().convert(at(from, begin), from.dtype(), end - begin, at(to, begin), to.dtype());
  });
}

void fill_plane(const Frame& frame, const Norm* norm, Plane& plane) {
  const auto& k = kernels::kernels();
  const DType dtype = plane.data.dtype();
  parallel_for(frame.height, rows_grain(frame.width, frame.channels), [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      for (int64_t x = 0; x < frame.width; ++x) {
        char* to =
            static_cast<char*>(plane.data.raw()) + static_cast<size_t>(plane.offset(y + 1, x + 1)) * size_of(dtype);
        if (norm) {
          k.norm(frame.pixel(y, x), DType::f32, frame.channels, norm->rms, norm->eps, norm->weight, norm->bias,
                 norm->scale, norm->shift, norm->activation, to, dtype);
        } else {
          k.convert(frame.pixel(y, x), DType::f32, frame.channels, to, dtype);
        }
      }
  });
}

void add_noise(Frame& frame, const Tensor& noise, const float* scale) {
  parallel_for(frame.height, rows_grain(frame.width, frame.channels), [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      for (int64_t x = 0; x < frame.width; ++x) {
        const float n = noise.data<float>()[y * frame.width + x];
        float* p = frame.pixel(y, x);
        for (int64_t c = 0; c < frame.channels; ++c) p[c] += n * scale[c];
      }
  });
}

Frame frame_from(const float* pixels, int64_t height, int64_t width, int64_t channels) {
  Frame f = Frame::empty(height, width, channels);
  for (int64_t y = 0; y < height; ++y)
    std::memcpy(f.pixel(y, 0), pixels + y * width * channels, static_cast<size_t>(width * channels) * sizeof(float));
  return f;
}

}  // namespace prax::nn

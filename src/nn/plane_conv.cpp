#include "nn/plane_conv.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "nn/linear.h"
#include "tensor/parallel.h"

namespace prax::nn {

namespace {

constexpr int64_t taps = 3;
//! Channels of one segment: three of them side by side are the k of one panel, which should stay in L1.
constexpr int64_t most_channels = 192;
//! Pixels this many bytes apart fall into few sets of the L1 cache.
constexpr int64_t aliasing_bytes = 1024;
//! Pixels readable behind a plane: the kernels look at whole tiles of rows.
constexpr int64_t slack_pixels = 64;

int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

PlaneConv::PlaneConv(const checkpoint::Weights& weights, int64_t in, int64_t out, int64_t pictures, DType dtype)
    : in_(in), out_(out), pictures_(pictures), dtype_(dtype) {
  Shape shape{out, in};
  shape.insert(shape.end(), pictures == 1 ? 2 : 3, taps);
  weight_ = weights.tensor("weight", shape);
  name_ = weights.path("weight");
  checkpoint::require_floating(weight_, name_);
  bias_ = load_f32(weights, "bias", {out});
}

void PlaneConv::pack() const {
  checkpoint::require_finite(weight_, name_);
  const auto& kernel = dtype_ == DType::f32 ? kernels::kernels().f32 : kernels::kernels().bf16;
  chunks_ = (in_ + most_channels - 1) / most_channels;
  chunk_ = round_up((in_ + chunks_ - 1) / chunks_, kernel.depth_multiple);
  pitch_ = chunks_ * chunk_;
  if (pitch_ * static_cast<int64_t>(size_of(kernel.a_dtype)) % aliasing_bytes == 0) pitch_ += 32;
  // [out][picture][dy][chunk][dx][channel]: a group is three neighbouring pixels of one row and one chunk.
  const int64_t rows = pictures_ * taps;
  Tensor ordered = Tensor::zeros({out_, rows * chunks_ * taps * chunk_}, dtype_);
  const Tensor stored = weight_.dtype() == dtype_ ? weight_ : weight_.to(dtype_);
  const auto reorder = [&]<typename T>(const T* from, T* to) {
    parallel_for(out_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o)
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t dx = 0; dx < taps; ++dx)
            for (int64_t c = 0; c < in_; ++c)
              to[o * ordered.dim(1) + ((r * chunks_ + c / chunk_) * taps + dx) * chunk_ + c % chunk_] =
                  from[((o * in_ + c) * rows + r) * taps + dx];
    });
  };
  if (dtype_ == DType::f32) {
    reorder(stored.data<float>(), ordered.data<float>());
  } else {
    reorder(stored.data<bfloat16>(), ordered.data<bfloat16>());
  }
  packed_ = kernels::PackedMatrix::pack_taps(ordered, dtype_, rows * chunks_, taps, chunk_);
  weight_.let_go();
}

Plane PlaneConv::plane(int64_t height, int64_t width) const {
  if (!packed_.defined()) pack();
  const DType dtype = packed_.kernel().a_dtype;
  Plane plane{height, width, pitch_, Tensor::empty({(height + 2) * (width + 2) + slack_pixels, pitch_}, dtype)};
  const size_t size = size_of(dtype);
  char* data = static_cast<char*>(plane.data.raw());
  const auto clear = [&](int64_t begin, int64_t end) {
    std::memset(data + static_cast<size_t>(begin) * size, 0, static_cast<size_t>(end - begin) * size);
  };
  parallel_for(height, std::max<int64_t>(1, 65536 / (width * pitch_)), [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      if (pitch_ > in_) {
        clear(plane.offset(y + 1, 0), plane.offset(y + 2, 0));
      } else {
        clear(plane.offset(y + 1, 0), plane.offset(y + 1, 1));
        clear(plane.offset(y + 1, width + 1), plane.offset(y + 2, 0));
      }
    }
  });
  clear(0, plane.offset(1, 0));
  clear(plane.offset(height + 1, 0), plane.data.numel());
  return plane;
}

void PlaneConv::operator()(std::span<const Plane* const> planes, Frame& out, const Frame* residual, int64_t stride,
                           int64_t first) const {
  if (static_cast<int64_t>(planes.size()) != pictures_ || out.channels != out_ || planes[0]->pitch != pitch_ ||
      (out.height - 1) * stride + first + taps > planes[0]->height + 2 ||
      (out.width - 1) * stride + first + taps > planes[0]->width + 2)
    throw Error(ErrorKind::internal, "pictures do not fit a convolution of " + std::to_string(in_) + " to " +
                                         std::to_string(out_) + " channels");
  const size_t size = size_of(packed_.kernel().a_dtype);
  const int64_t offsets[taps] = {0, pitch_, 2 * pitch_};
  kernels::Epilogue e;
  e.bias = bias_.data<float>();
  e.out_stride = out_;
  e.residual_stride = out_;
  // One product for the whole picture, or (stride 2) one a row of it.
  const int64_t runs = stride == 1 ? 1 : out.height;
  const int64_t pixels = stride == 1 ? out.height * out.row_pixels() : out.width;
  std::vector<const void*> groups(static_cast<size_t>(pictures_ * taps * chunks_));
  for (int64_t run = 0; run < runs; ++run) {
    for (size_t g = 0; g < groups.size(); ++g) {
      const int64_t row = static_cast<int64_t>(g) / chunks_, channel = static_cast<int64_t>(g) % chunks_ * chunk_;
      const Plane& plane = *planes[static_cast<size_t>(row / taps)];
      groups[g] = static_cast<const char*>(plane.data.raw()) +
                  static_cast<size_t>(plane.offset(run * stride + first + row % taps, first) + channel) * size;
    }
    e.out = out.pixel(run, 0);
    if (residual) e.residual = residual->pixel(run, 0);
    kernels::matmul_taps(groups, offsets, pixels, pitch_ * stride, packed_, e);
  }
}

}  // namespace prax::nn

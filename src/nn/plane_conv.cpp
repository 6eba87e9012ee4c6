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

int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

size_t element_bytes(const Plane& plane) { return size_of(plane.data.dtype()); }

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

const kernels::MatmulKernel& PlaneConv::kernel() const {
  return dtype_ == DType::f32 ? kernels::kernels().f32 : kernels::kernels().bf16;
}

//! As few as fit, or a few more where less padding comes with them.
int64_t PlaneConv::chunks() const {
  const int64_t multiple = kernel().depth_multiple, fewest = (in_ + most_channels - 1) / most_channels;
  const auto padded = [&](int64_t count) { return count * round_up((in_ + count - 1) / count, multiple); };
  int64_t best = fewest;
  for (int64_t count = fewest + 1; count < 2 * fewest; ++count)
    if (padded(count) < padded(best)) best = count;
  return best;
}

int64_t PlaneConv::chunk() const { return round_up((in_ + chunks() - 1) / chunks(), kernel().depth_multiple); }

int64_t PlaneConv::pitch() const {
  const int64_t channels = chunks() * chunk();
  return channels * static_cast<int64_t>(size_of(plane_dtype())) % aliasing_bytes == 0 ? channels + 32 : channels;
}

void PlaneConv::release() {
  taps_ = {};
  winograd_ = {};
}

bool PlaneConv::by_winograd(int64_t height, int64_t width, int64_t stride) const {
  constexpr int64_t fewest_channels = 32;  // below, transforms cost more than the products that they save
  if (dtype_ == DType::f32 || stride != 1 || std::min(in_, out_) < fewest_channels) return false;
  const int64_t rows = kernel().rows, patches = (height + 1) / 2 * ((width + 1) / 2);
  if (2 * patches < std::max(in_, out_)) return false;  // the transformed weights, 16 for 9, are not worth their memory
  return 16 * round_up(patches, rows) * 5 < 9 * round_up(height * (width + 2), rows) * 4;
}

void PlaneConv::pack_taps() const {
  checkpoint::require_finite(weight_, name_);
  // [out][picture][dy][chunk][dx][channel]: a group is three neighbouring pixels of one row and one chunk.
  const int64_t rows = pictures_ * taps, parts = chunks(), part = chunk();
  const Tensor stored = weight_.dtype() == dtype_ ? weight_ : weight_.to(dtype_);
  const auto fill = [&]<typename T>(const T* weights, int64_t o, int64_t group, T* to) {
    const int64_t row = group / parts, begin = group % parts * part;
    for (int64_t dx = 0; dx < taps; ++dx)
      for (int64_t c = 0; c < part; ++c)
        to[dx * part + c] = begin + c < in_ ? weights[((o * in_ + begin + c) * rows + row) * taps + dx] : T{};
  };
  taps_ = kernels::PackedMatrix::pack_groups(out_, dtype_, rows * parts, taps, part,
                                             [&](int64_t o, int64_t group, void* to) {
                                               if (dtype_ == DType::f32)
                                                 return fill(stored.data<float>(), o, group, static_cast<float*>(to));
                                               fill(stored.data<bfloat16>(), o, group, static_cast<bfloat16*>(to));
                                             });
  weight_.let_go();
}

Plane PlaneConv::plane(int64_t height, int64_t width) const {
  const DType dtype = plane_dtype();
  const int64_t step = pitch();
  const int64_t pixels = (height + 2) * (width + 2) + Plane::slack(width + 2);
  Plane plane{height, width, step, Tensor::empty({pixels, step}, dtype)};
  const size_t size = size_of(dtype);
  char* data = static_cast<char*>(plane.data.raw());
  const auto clear = [&](int64_t begin, int64_t end) {
    std::memset(data + static_cast<size_t>(begin) * size, 0, static_cast<size_t>(end - begin) * size);
  };
  parallel_for(height, std::max<int64_t>(1, 65536 / (width * step)), [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      if (chunks() * chunk() > in_) {  // channels that are read as zeros
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

void PlaneConv::operator()(std::span<const Plane* const> planes, Frame& out, const Tensor* residual, int64_t stride,
                           int64_t first) const {
  if (static_cast<int64_t>(planes.size()) != pictures_ || out.channels != out_ || planes[0]->pitch != pitch() ||
      planes[0]->data.dtype() != plane_dtype() || (out.height - 1) * stride + first + taps > planes[0]->height + 2 ||
      (out.width - 1) * stride + first + taps > planes[0]->width + 2)
    throw Error(ErrorKind::internal, "pictures do not fit a convolution of " + std::to_string(in_) + " to " +
                                         std::to_string(out_) + " channels");
  if (by_winograd(out.height, out.width, stride)) {
    if (!winograd_.defined()) {
      checkpoint::require_finite(weight_, name_);
      winograd_ = kernels::WinogradWeights::pack(weight_, dtype_);
      weight_.let_go();
    }
    std::vector<const void*> pictures;
    for (const Plane* plane : planes)
      pictures.push_back(static_cast<const char*>(plane->data.raw()) +
                         static_cast<size_t>(plane->offset(first, first)) * element_bytes(*plane));
    const int64_t row = out.row_pixels() * out_;
    kernels::convolve_winograd({pictures, pitch(), planes[0]->row_pixels() * pitch(), plane_dtype()}, winograd_,
                               {out.height, out.width, out.pixel(0, 0), row, bias_.data<float>(),
                                residual ? residual->raw() : nullptr, residual ? residual->dtype() : DType::f32});
    return;
  }
  tap_by_tap(planes, out, residual, stride, first);
}

void PlaneConv::tap_by_tap(std::span<const Plane* const> planes, Frame& out, const Tensor* residual, int64_t stride,
                           int64_t first) const {
  if (!taps_.defined()) pack_taps();
  if (residual && residual->dtype() != DType::f32) {
    convert(*residual, out.data);
    residual = &out.data;
  }
  // Where the ISA multiplies no bf16, the planes are widened for the moment.
  std::vector<Tensor> widened;
  for (const Plane* plane : planes) {
    widened.push_back(plane->data);
    if (plane_dtype() == kernel().a_dtype) continue;
    widened.back() = Tensor::empty(plane->data.shape(), kernel().a_dtype);
    convert(plane->data, widened.back());
  }
  const size_t element = size_of(kernel().a_dtype);
  const int64_t parts = chunks(), step = pitch(), offsets[taps] = {0, step, 2 * step};
  kernels::Epilogue e;
  e.bias = bias_.data<float>();
  e.out_stride = out_;
  e.residual_stride = out_;
  // One product for the whole picture, or (stride 2) one a row of it.
  const int64_t runs = stride == 1 ? 1 : out.height;
  const int64_t pixels = stride == 1 ? out.height * out.row_pixels() : out.width;
  std::vector<const void*> groups(static_cast<size_t>(pictures_ * taps * parts));
  for (int64_t run = 0; run < runs; ++run) {
    for (size_t g = 0; g < groups.size(); ++g) {
      const int64_t row = static_cast<int64_t>(g) / parts, channel = static_cast<int64_t>(g) % parts * chunk();
      const auto picture = static_cast<size_t>(row / taps);
      groups[g] =
          static_cast<const char*>(widened[picture].raw()) +
          static_cast<size_t>(planes[picture]->offset(run * stride + first + row % taps, first) + channel) * element;
    }
    e.out = out.pixel(run, 0);
    if (residual) e.residual = residual->data<float>() + run * out.row_pixels() * out_;
    kernels::matmul_taps(groups, offsets, pixels, step * stride, taps_, e);
  }
}

}  // namespace prax::nn

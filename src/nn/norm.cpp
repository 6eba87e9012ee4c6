#include "nn/norm.h"

#include <algorithm>

#include "tensor/parallel.h"

namespace prax::nn {

Tensor normalize(const Tensor& x, const Norm& norm, DType out_dtype, RowLayout layout) {
  const int64_t channels = x.dim(-1), rows = x.numel() / channels;
  Tensor out = empty_rows(rows, channels, out_dtype, layout);
  const auto& k = kernels::kernels();
  const size_t in_row = static_cast<size_t>(channels) * size_of(x.dtype());
  const size_t out_row = static_cast<size_t>(out.dim(1)) * size_of(out_dtype);
  const char* from = static_cast<const char*>(x.raw());
  char* to = static_cast<char*>(out.raw());
  parallel_for(rows, std::max<int64_t>(1, 32768 / channels), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t m = r * norm.modulation_stride;
      k.norm(from + static_cast<size_t>(r) * in_row, x.dtype(), channels, norm.rms, norm.eps, norm.weight, norm.bias,
             norm.scale ? norm.scale + m : nullptr, norm.shift ? norm.shift + m : nullptr, norm.activation,
             to + static_cast<size_t>(r) * out_row, out_dtype);
    }
  });
  return out;
}

}  // namespace prax::nn

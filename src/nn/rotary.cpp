#include "nn/rotary.h"

#include <algorithm>
#include <vector>

#include "tensor/parallel.h"

namespace prax::nn {

void norm_rotate(const HeadRows& x, const Norm* norm, const Rotary* rotary, int64_t first) {
  const int64_t width = x.heads * x.channels, turned = rotary ? rotary->cos.dim(1) : width;
  const auto& k = kernels::kernels();
  parallel_for(x.rows, std::max<int64_t>(1, 16384 / width), [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(width));
    for (int64_t r = begin; r < end; ++r) {
      char* at = static_cast<char*>(x.data) + static_cast<size_t>(r * x.stride) * size_of(x.dtype);
      if (norm) {
        for (int64_t c = 0; c < width; c += x.channels)
          k.norm(at + static_cast<size_t>(c) * size_of(x.dtype), x.dtype, x.channels, norm->rms, norm->eps,
                 norm->weight, norm->bias, norm->scale, norm->shift, norm->activation, row.data() + c, DType::f32);
      } else {
        k.convert(at, x.dtype, width, row.data(), DType::f32);
      }
      if (rotary)
        for (int64_t c = 0; c < width; c += turned)
          k.rotate(row.data() + c, DType::f32, turned, rotary->cos.data<float>() + (first + r) * turned,
                   rotary->sin.data<float>() + (first + r) * turned);
      k.convert(row.data(), DType::f32, width, at, x.dtype);
    }
  });
}

}  // namespace prax::nn

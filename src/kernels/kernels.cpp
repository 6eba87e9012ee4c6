#include "kernels/kernels.h"

namespace prax::kernels {

namespace portable {
const KernelTable& table();
}
#if defined(__x86_64__)
namespace avx2 {
const KernelTable& table();
}
namespace avx512 {
const KernelTable& table();
}
namespace avx512_bf16 {
const KernelTable& table();
}
namespace amx {
const KernelTable& table();
}
#endif

const KernelTable& kernels() {
  switch (isa()) {
#if defined(__x86_64__)
    case Isa::avx2:
      return avx2::table();
    case Isa::avx512:
      return avx512::table();
    case Isa::avx512_bf16:
      return avx512_bf16::table();
    case Isa::amx:
      return amx::table();
#endif
    default:
      return portable::table();
  }
}

Epilogue Epilogue::at(int64_t row, int64_t column) const {
  Epilogue e = *this;
  const auto advance = [&](auto* p, int64_t stride) { return p ? p + row * stride + column : p; };
  if (e.bias) e.bias += column;
  e.gate = advance(gate, gate_stride);
  e.residual = advance(residual, residual_stride);
  const auto element = static_cast<int64_t>(size_of(out_dtype));
  e.out = static_cast<char*>(out) + (row * out_stride + column) * element;
  if (factor) e.factor = static_cast<const char*>(factor) + (row * factor_stride + column) * element;
  return e;
}

DType activation_dtype(DType weights) { return weights == DType::f32 ? DType::f32 : kernels().bf16.a_dtype; }

}  // namespace prax::kernels

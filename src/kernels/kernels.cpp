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

DType activation_dtype(DType weights) { return weights == DType::f32 ? DType::f32 : kernels().bf16.a_dtype; }

}  // namespace prax::kernels

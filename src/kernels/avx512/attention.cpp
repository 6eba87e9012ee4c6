#include "kernels/common/attention_f32.inl"

namespace prax::kernels::avx512 {

namespace {
constexpr int rows = 14, vectors = 2;  // as the matrix product's tile
}

const AttentionKernel& attention_kernel() { return AttentionF32<rows, vectors>::kernel; }

}  // namespace prax::kernels::avx512

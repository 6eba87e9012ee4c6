#include "kernels/common/attention_integers.inl"

namespace prax::kernels::avx2 {

namespace {
constexpr int rows = 6, vectors = 2;  // as the matrix products' tiles
}

const AttentionKernel& attention_kernel() { return AttentionF32<rows, vectors>::kernel; }

const AttentionKernel& integer_attention_kernel() { return AttentionIntegers<rows, vectors>::kernel; }

}  // namespace prax::kernels::avx2

#include "kernels/common/attention_f32.inl"

namespace prax::kernels::portable {

namespace {
constexpr int rows = 4, vectors = 2;  // as the matrix product's tile
}

const AttentionKernel& attention_kernel() { return AttentionF32<rows, vectors>::kernel; }

}  // namespace prax::kernels::portable

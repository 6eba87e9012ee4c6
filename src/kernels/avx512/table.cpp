#include "kernels/common/table.inl"

namespace prax::kernels::avx512 {

namespace {

constexpr int rows = 14, vectors = 2;

constexpr KernelTable kernel_table = table_of(Isa::avx512, f32_kernel<rows, vectors>, widened_kernel<rows, vectors>,
                                              byte_kernel_of_pairs<rows, vectors>);

}  // namespace

const KernelTable& table() { return kernel_table; }

}  // namespace prax::kernels::avx512

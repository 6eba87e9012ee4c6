#include "kernels/common/table.inl"

namespace prax::kernels::portable {

namespace {

constexpr int rows = 4, vectors = 2;

constexpr KernelTable kernel_table = table_of(Isa::portable, f32_kernel<rows, vectors>, widened_kernel<rows, vectors>,
                                              byte_kernel_of_pairs<rows, vectors>);

}  // namespace

const KernelTable& table() { return kernel_table; }

}  // namespace prax::kernels::portable

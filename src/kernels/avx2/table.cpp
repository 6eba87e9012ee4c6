#include "kernels/common/table.inl"

namespace prax::kernels::avx2 {

namespace {

constexpr int rows = 6, vectors = 2, columns = vectors * LANES;

// Weights are 64 too large, so at most 128.
constexpr ByteKernel byte_kernel{rows,
                                 columns,
                                 4,
                                 1024,
                                 DType::i8,
                                 64,
                                 64,
                                 tile_integers<rows, vectors, int8_t, uint8_t>,
                                 pack_bytes<columns, 4, 64>};

constexpr KernelTable kernel_table =
    table_of(Isa::avx2, f32_kernel<rows, vectors>, widened_kernel<rows, vectors>, byte_kernel);

}  // namespace

const KernelTable& table() { return kernel_table; }

}  // namespace prax::kernels::avx2

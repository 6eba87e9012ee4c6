#include "kernels/common/int8.inl"
#include "kernels/common/matmul.inl"
#include "kernels/common/rowwise.inl"
#include "kernels/common/winograd.inl"

namespace prax::kernels::portable {

namespace {

constexpr int rows = 4, vectors = 2, columns = vectors * LANES;

const KernelTable kernel_table{
    Isa::portable,
    {rows, columns, 1, 256, DType::f32, DType::f32, tile_f32<rows, vectors>, pack_rows<columns>},
    {rows, columns, 2, 256, DType::f32, DType::bf16, tile_f32<rows, vectors>, pack_pairs<columns>,
     widen_pairs<columns>},
    byte_kernel_of_pairs<rows, vectors>,
    epilogue,
    norm,
    affine,
    channel_sums,
    rotate,
    activate,
    convert,
    add,
    quantize,
    dequantize,
    winograd_in,
    winograd_out};

}  // namespace

const KernelTable& table() { return kernel_table; }

}  // namespace prax::kernels::portable

#include "kernels/common/int8.inl"
#include "kernels/common/matmul.inl"
#include "kernels/common/rowwise.inl"
#include "kernels/common/winograd.inl"

namespace prax::kernels::avx2 {

namespace {

constexpr int rows = 6, vectors = 2, columns = vectors * LANES;

const KernelTable kernel_table{
    Isa::avx2,
    {rows, columns, 1, 256, DType::f32, DType::f32, tile_f32<rows, vectors>, pack_rows<columns>},
    {rows, columns, 2, 256, DType::f32, DType::bf16, tile_f32<rows, vectors>, pack_pairs<columns>,
     widen_pairs<columns>},
    // Weights are 64 too large, so at most 128.
    {rows, columns, 4, 1024, DType::i8, 64, 64, tile_integers<rows, vectors, int8_t, uint8_t>,
     pack_bytes<columns, 4, 64>},
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

}  // namespace prax::kernels::avx2

#include "kernels/amx/tiles.h"
#include "kernels/common/peak.inl"

namespace prax::kernels::amx {

namespace {

//! Tiles 0 to 5 are sums, 6 and 7 the operands: 16 rows of 64 bytes each.
constexpr int sums_in_tiles = 6, tile_rows = 16, tile_bytes = 64, tile_columns = 16;

void load_operands(uint16_t pattern) {
  ensure_tiles();
  alignas(64) uint16_t operand[tile_rows * tile_bytes / 2];
  for (uint16_t& element : operand) element = pattern;
  asm volatile("" : : "r"(operand) : "memory");
  _tile_loadd(6, operand, tile_bytes);
  _tile_loadd(7, operand, tile_bytes);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
}

void bf16_loop(int64_t iterations) {
  load_operands(0x3c00);
  for (int64_t n = 0; n < iterations; ++n) {
    _tile_dpbf16ps(0, 6, 7);
    _tile_dpbf16ps(1, 6, 7);
    _tile_dpbf16ps(2, 6, 7);
    _tile_dpbf16ps(3, 6, 7);
    _tile_dpbf16ps(4, 6, 7);
    _tile_dpbf16ps(5, 6, 7);
  }
}

void int8_loop(int64_t iterations) {
  load_operands(0x0203);
  for (int64_t n = 0; n < iterations; ++n) {
    _tile_dpbusd(0, 6, 7);
    _tile_dpbusd(1, 6, 7);
    _tile_dpbusd(2, 6, 7);
    _tile_dpbusd(3, 6, 7);
    _tile_dpbusd(4, 6, 7);
    _tile_dpbusd(5, 6, 7);
  }
}

//! A tile product is 16 x 16 sums of as many products as fit in 64 bytes.
constexpr int64_t operations(int64_t element_bytes) {
  return 2 * sums_in_tiles * tile_rows * tile_columns * (tile_bytes / element_bytes);
}

}  // namespace

PeakLoops peak_loops() { return {f32_peak, {operations(2), bf16_loop}, {operations(1), int8_loop}}; }

}  // namespace prax::kernels::amx

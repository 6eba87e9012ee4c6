#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace prax::kernels::amx {

//! Configures this thread's eight tiles as 16 rows of 64 bytes, once; every AMX kernel uses this one shape and pads
//! its data to it.
inline void ensure_tiles() {
  thread_local bool done = false;
  if (done) return;
  alignas(64) uint8_t config[64] = {};
  config[0] = 1;  // palette
  for (int tile = 0; tile < 8; ++tile) {
    const uint16_t bytes = 64;
    std::memcpy(config + 16 + 2 * tile, &bytes, 2);
    config[48 + tile] = 16;
  }
  asm volatile("" : : "r"(config) : "memory");  // GCC's intrinsic claims to read the first eight bytes only
  _tile_loadconfig(config);
  done = true;
}

}  // namespace prax::kernels::amx

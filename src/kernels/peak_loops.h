#pragma once

#include <cstdint>

//! What roofline.cpp asks of one ISA: loops of independent multiply-adds on registers.
namespace prax::kernels {

struct PeakLoop {
  int64_t operations = 0;                     //!< multiplications plus additions of one iteration
  void (*run)(int64_t iterations) = nullptr;  //!< null where there are no such instructions
};

struct PeakLoops {
  PeakLoop f32, bf16, int8;
};

}  // namespace prax::kernels

#pragma once

#include <cstdint>

#include "tensor/dtype.h"

//! What this machine could do at best, measured: the roofs that speeds are held against (Williams, Waterman, Patterson:
//! "Roofline", 2009).
namespace prax::kernels {

enum class Arithmetic { f32, bf16, int8 };

//! Multiplications plus additions a second, of all threads together, of products whose operands never leave registers
//! (or tiles), with the instructions of the ISA in use. 0 where it has none for this arithmetic. Best of several
//! measurements of about 0.3 s.
double register_peak(Arithmetic arithmetic);

//! The arithmetic that matrix products with weights of this dtype (f32, bf16 or i8) end in on the ISA in use: bf16 only
//! where it multiplies bf16, else f32; int8 where it multiplies bytes, else as bf16.
Arithmetic arithmetic_of(DType weights);

//! Bytes a second of a[i] = b[i] + s c[i] on all threads over arrays far larger than the caches (STREAM's triad:
//! two reads and a write are counted, not the read before the write).
double memory_bandwidth();

}  // namespace prax::kernels

#pragma once

#include <string_view>
#include <vector>

namespace prax::kernels {

//! Instruction sets that there are kernels for, weakest first. Each includes those before it.
enum class Isa {
  portable,     //!< plain C++ at the compiler's baseline
  avx2,         //!< AVX2 + FMA + F16C
  avx512,       //!< AVX-512 F, BW, DQ, VL
  avx512_bf16,  //!< + VDPBF16PS and VPDPBUSD (VNNI)
  amx           //!< + AMX tiles with bf16 and int8 products
};

std::string_view name_of(Isa isa);

//! What this processor (and kernel: AMX needs its permission) can run, weakest first.
const std::vector<Isa>& available_isas();

//! The one in use: PRAX_ISA when set, else the strongest available.
//! Throws Error(usage) when PRAX_ISA names one that is unknown or not available.
Isa isa();

//! Uses another from now on. Weights packed for one do not fit the next: set it before models are built.
void set_isa(Isa isa);

//! "Intel(R) Xeon(R) Platinum 8481C"
std::string_view cpu_name();

}  // namespace prax::kernels

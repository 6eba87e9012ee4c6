#include "kernels/isa.h"

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/error.h"

namespace prax::kernels {

namespace {

#if defined(__x86_64__)
struct Features {
  bool avx2 = false, avx512 = false, avx512_bf16 = false, amx = false;
};

uint64_t enabled_state() {
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

//! Linux hands out the tile registers only to a process that asks (arch_prctl(2)).
bool request_tiles() {
  constexpr int arch_req_xcomp_perm = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, arch_req_xcomp_perm, tile_data) == 0;
}

Features detect() {
  Features f;
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return f;
  const bool osxsave = c & bit_OSXSAVE, fma = c & bit_FMA, f16c = c & bit_F16C;
  if (!osxsave) return f;
  const uint64_t state = enabled_state();
  const bool ymm = (state & 0x6) == 0x6, zmm = (state & 0xe6) == 0xe6, tiles = (state & 0x60000) == 0x60000;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return f;
  f.avx2 = ymm && fma && f16c && (b & bit_AVX2);
  f.avx512 = f.avx2 && zmm && (b & bit_AVX512F) && (b & bit_AVX512BW) && (b & bit_AVX512DQ) && (b & bit_AVX512VL);
  const bool vnni = c & (1u << 11);
  const bool amx_bits = (d & (1u << 22)) && (d & (1u << 24)) && (d & (1u << 25));
  uint32_t a1 = 0, b1 = 0, c1 = 0, d1 = 0;
  __get_cpuid_count(7, 1, &a1, &b1, &c1, &d1);
  f.avx512_bf16 = f.avx512 && vnni && (a1 & (1u << 5));
  f.amx = f.avx512_bf16 && amx_bits && tiles && request_tiles();
  return f;
}
#endif

std::vector<Isa> find_available() {
  std::vector<Isa> found{Isa::portable};
#if defined(__x86_64__)
  const Features f = detect();
  if (f.avx2) found.push_back(Isa::avx2);
  if (f.avx512) found.push_back(Isa::avx512);
  if (f.avx512_bf16) found.push_back(Isa::avx512_bf16);
  if (f.amx) found.push_back(Isa::amx);
#endif
  return found;
}

constexpr Isa all_isas[] = {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512_bf16, Isa::amx};

std::string list(const std::vector<Isa>& isas) {
  std::string text;
  for (Isa i : isas) text += (text.empty() ? "" : ", ") + std::string(name_of(i));
  return text;
}

Isa choose() {
  const auto& available = available_isas();
  const char* wanted = std::getenv("PRAX_ISA");
  if (!wanted || !*wanted) return available.back();
  for (Isa i : all_isas) {
    if (name_of(i) != wanted) continue;
    for (Isa have : available)
      if (have == i) return i;
    throw Error(ErrorKind::usage, "PRAX_ISA=" + std::string(wanted) + " is not available on this processor",
                "it has " + list(available));
  }
  throw Error(ErrorKind::usage, "PRAX_ISA=" + std::string(wanted) + " is not an instruction set that prax knows",
              "use one of " + list({std::begin(all_isas), std::end(all_isas)}));
}

std::atomic<int> chosen{-1};

}  // namespace

std::string_view name_of(Isa isa) {
  switch (isa) {
    case Isa::portable:
      return "portable";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512_bf16:
      return "avx512_bf16";
    case Isa::amx:
      return "amx";
  }
  return "unknown";
}

const std::vector<Isa>& available_isas() {
  static const std::vector<Isa> found = find_available();
  return found;
}

Isa isa() {
  int current = chosen.load(std::memory_order_relaxed);
  if (current < 0) {
    current = static_cast<int>(choose());
    chosen.store(current, std::memory_order_relaxed);
  }
  return static_cast<Isa>(current);
}

void set_isa(Isa isa) {
  for (Isa have : available_isas())
    if (have == isa) {
      chosen.store(static_cast<int>(isa), std::memory_order_relaxed);
      return;
    }
  throw Error(ErrorKind::usage, std::string(name_of(isa)) + " is not available on this processor",
              "it has " + list(available_isas()));
}

std::string_view cpu_name() {
  static const std::string name = [] {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);)
      if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
    return std::string("unknown CPU");
  }();
  return name;
}

}  // namespace prax::kernels

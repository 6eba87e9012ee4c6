// Attention on every ISA that the processor has, beside loops that keep the registers of the same arithmetic busy and
// touch no memory: what a kernel reaches of its peak is the quotient of the two FLOPS columns of one run.

#include "kernels/attention.h"

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/isa.h"
#include "tensor/parallel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

using namespace prax;
using kernels::Isa;

#if defined(__x86_64__)

constexpr int peak_rounds = 20000;

//! Denormal leftovers would slow the products down.
__attribute__((target("avx"), always_inline)) inline void clear_vectors() {
  asm volatile("vzeroall" ::
                   : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
                     "xmm12", "xmm13", "xmm14", "xmm15");
}

__attribute__((target("avx512f"))) void fma_loop() {
  clear_vectors();
  for (int i = 0; i < peak_rounds; ++i) {
#define FMA(n) asm volatile("vfmadd231ps %%zmm12, %%zmm13, %%zmm" #n ::: "xmm" #n);
    FMA(0) FMA(1) FMA(2) FMA(3) FMA(4) FMA(5) FMA(6) FMA(7) FMA(8) FMA(9) FMA(10) FMA(11)
#undef FMA
  }
}

__attribute__((target("avx2,fma"))) void fma_loop_avx2() {
  clear_vectors();
  for (int i = 0; i < peak_rounds; ++i) {
#define FMA(n) asm volatile("vfmadd231ps %%ymm12, %%ymm13, %%ymm" #n ::: "xmm" #n);
    FMA(0) FMA(1) FMA(2) FMA(3) FMA(4) FMA(5) FMA(6) FMA(7) FMA(8) FMA(9) FMA(10) FMA(11)
#undef FMA
  }
}

__attribute__((target("avx512f,avx512bf16"))) void dot_loop() {
  clear_vectors();
  for (int i = 0; i < peak_rounds; ++i) {
#define DOT(n) asm volatile("vdpbf16ps %%zmm12, %%zmm13, %%zmm" #n ::: "xmm" #n);
    DOT(0) DOT(1) DOT(2) DOT(3) DOT(4) DOT(5) DOT(6) DOT(7) DOT(8) DOT(9) DOT(10) DOT(11)
#undef DOT
  }
}

__attribute__((target("amx-tile,amx-bf16"))) void tile_loop() {
  alignas(64) uint8_t config[64] = {1};
  for (int tile = 0; tile < 8; ++tile) {
    config[16 + 2 * tile] = 64;
    config[48 + tile] = 16;
  }
  asm volatile("" : : "r"(config) : "memory");  // GCC's intrinsic claims to read the first eight bytes only
  _tile_loadconfig(config);
  for (int i = 0; i < peak_rounds; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
}

void peak(benchmark::State& state, void (*loop)(), double flops_per_round) {
  for (auto _ : state)
    parallel_for(thread_count(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) loop();
    });
  state.counters["FLOPS"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * thread_count() * peak_rounds * flops_per_round,
                         benchmark::Counter::kIsRate);
}

#endif

struct Problem {
  const char* name;
  kernels::AttentionShape shape;
  bool masked;
};

void attention(benchmark::State& state, Isa isa, DType dtype, const Problem& problem) {
  kernels::set_isa(isa);
  const auto& s = problem.shape;
  const int64_t width = s.heads * s.head_dim;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  const auto fill = [&](int64_t tokens) {
    std::vector<char> bytes(static_cast<size_t>(s.batch * tokens * width) * size_of(dtype));
    for (int64_t i = 0; i < s.batch * tokens * width; ++i) {
      const float x = normal(random);
      const bfloat16 b(x);
      if (dtype == DType::f32) {
        std::memcpy(bytes.data() + i * 4, &x, 4);
      } else {
        std::memcpy(bytes.data() + i * 2, &b, 2);
      }
    }
    return bytes;
  };
  const auto q = fill(s.query_tokens), k = fill(s.key_tokens), v = fill(s.key_tokens);
  std::vector<char> out(q.size());
  const std::vector<float> key_bias(static_cast<size_t>(s.batch * s.key_tokens), 0.0f);
  kernels::AttentionArguments a;
  a.shape = s;
  a.dtype = dtype;
  a.query = {q.data(), s.query_tokens * width, width, s.head_dim};
  a.key = {k.data(), s.key_tokens * width, width, s.head_dim};
  a.value = {v.data(), s.key_tokens * width, width, s.head_dim};
  a.out = out.data();
  a.out_batch_stride = s.query_tokens * width;
  a.out_token_stride = width;
  a.out_head_stride = s.head_dim;
  a.scale = 1 / std::sqrt(static_cast<float>(s.head_dim));
  if (problem.masked) a.key_bias = key_bias.data();
  for (auto _ : state) kernels::attention(a);
  const double flops = 4.0 * static_cast<double>(s.batch * s.query_tokens * s.key_tokens * width);
  state.counters["FLOPS"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * flops, benchmark::Counter::kIsRate);
}

const Problem problems[] = {
    {"self_6144x32x64", {1, 32, 6144, 6144, 64}, false},           {"self_2048x8x64", {1, 8, 2048, 2048, 64}, false},
    {"self_2048x8x128", {1, 8, 2048, 2048, 128}, false},           {"self_2048x8x72", {1, 8, 2048, 2048, 72}, false},
    {"cross_6144x128x32x64_masked", {1, 32, 6144, 128, 64}, true},
};

}  // namespace

int main(int argc, char** argv) {
  const auto has = [](Isa isa) {
    for (Isa have : kernels::available_isas())
      if (have == isa) return true;
    return false;
  };
#if defined(__x86_64__)
  const auto add_peak = [&](Isa isa, const char* name, void (*loop)(), double flops) {
    if (has(isa)) benchmark::RegisterBenchmark(name, [=](benchmark::State& s) { peak(s, loop, flops); })->UseRealTime();
  };
  add_peak(Isa::avx2, "peak/avx2_fma", fma_loop_avx2, 12 * 16);
  add_peak(Isa::avx512, "peak/avx512_fma", fma_loop, 12 * 32);
  add_peak(Isa::avx512_bf16, "peak/avx512_bf16_dot", dot_loop, 12 * 64);
  add_peak(Isa::amx, "peak/amx_bf16", tile_loop, 4 * 2 * 16 * 16 * 32);
#endif
  for (Isa isa : kernels::available_isas())
    for (DType dtype : {DType::bf16, DType::f32})
      for (const Problem& p : problems) {
        if (dtype == DType::f32 && (isa == Isa::avx512_bf16 || isa == Isa::amx)) continue;  // avx512's
        const std::string name =
            "attention/" + std::string(kernels::name_of(isa)) + "/" + std::string(name_of(dtype)) + "/" + p.name;
        benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& s) { attention(s, isa, dtype, p); })
            ->UseRealTime()
            ->Unit(benchmark::kMillisecond);
      }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}

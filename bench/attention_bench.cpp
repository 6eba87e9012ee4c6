// Attention on every ISA that the processor has; of_peak is the part of what the registers alone could do.

#include "kernels/attention.h"

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/isa.h"
#include "kernels/kernels.h"
#include "kernels/roofline.h"

namespace {

using namespace prax;
using kernels::Isa;

//! What the registers could do in the arithmetic that attention on this ISA ends in (best of all threads).
double peak_of(Isa isa, DType dtype) {
  static std::map<std::pair<Isa, DType>, double> known;
  const auto [found, is_new] = known.try_emplace({isa, dtype}, 0.0);
  if (is_new) found->second = kernels::register_peak(kernels::arithmetic_of(dtype));
  return found->second;
}

struct Problem {
  const char* name;
  kernels::AttentionShape shape;
  bool masked;
};

//! As in a network whose weights have this dtype.
void attention(benchmark::State& state, Isa isa, DType weights, const Problem& problem) {
  kernels::set_isa(isa);
  const DType dtype = kernels::activation_dtype(weights);
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
  a.integers = weights == DType::i8;
  if (problem.masked) a.key_bias = key_bias.data();
  const double peak = peak_of(isa, weights);
  for (auto _ : state) kernels::attention(a);
  const double flops = 4.0 * static_cast<double>(s.batch * s.query_tokens * s.key_tokens * width);
  state.counters["FLOPS"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * flops, benchmark::Counter::kIsRate);
  state.counters["of_peak"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * flops / peak, benchmark::Counter::kIsRate);
}

const Problem problems[] = {
    {"self_6144x32x64", {1, 32, 6144, 6144, 64}, false},           {"self_2048x8x64", {1, 8, 2048, 2048, 64}, false},
    {"self_2048x8x128", {1, 8, 2048, 2048, 128}, false},           {"self_2048x8x72", {1, 8, 2048, 2048, 72}, false},
    {"cross_6144x128x32x64_masked", {1, 32, 6144, 128, 64}, true},
};

}  // namespace

int main(int argc, char** argv) {
  for (Isa isa : kernels::available_isas())
    for (DType dtype : {DType::bf16, DType::f32, DType::i8})
      for (const Problem& p : problems) {
        // f32 is avx512's, and attention is of integers only where there is no bf16.
        if (dtype != DType::bf16 && (isa == Isa::avx512_bf16 || isa == Isa::amx)) continue;
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

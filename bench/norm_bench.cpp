// Row norms with their modulation, beside oneDNN's layer norm, which has none: at the widths of LTX-Video 2B,
// CogVideoX-2b and Mochi 1. They read f32 and write what products read.

#include <benchmark/benchmark.h>

#include <dnnl.hpp>

#include "nn/norm.h"
#include "tensor/random.h"

namespace {

using namespace prax;

void set_rate(benchmark::State& state, DType out) {
  const double bytes = static_cast<double>(state.range(0) * state.range(1)) * static_cast<double>(4 + size_of(out));
  state.counters["GB/s"] =
      benchmark::Counter(bytes / 1e9, benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::kIs1000);
}

void ours(benchmark::State& state, bool rms) {
  const int64_t rows = state.range(0), channels = state.range(1);
  const DType out = kernels::activation_dtype(DType::bf16);
  const Tensor x = Generator(1).randn({rows, channels});
  const Tensor weight = Generator(2).randn({channels}), scale = Generator(3).randn({channels}),
               shift = Generator(4).randn({channels});
  nn::Norm norm;
  norm.rms = rms;
  norm.weight = weight.data<float>();
  norm.scale = scale.data<float>();
  norm.shift = shift.data<float>();
  for (auto _ : state) benchmark::DoNotOptimize(nn::normalize(x, norm, out).raw());
  set_rate(state, out);
}

//! oneDNN 2.6 writes the type that it reads: f32.
void onednn(benchmark::State& state) {
  const int64_t rows = state.range(0), channels = state.range(1);
  using memory = dnnl::memory;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const memory::desc desc({1, rows, channels}, memory::data_type::f32, memory::format_tag::abc);
  const auto flags = dnnl::normalization_flags::use_scale | dnnl::normalization_flags::use_shift;
  const dnnl::layer_normalization_forward::primitive_desc primitive(
      dnnl::layer_normalization_forward::desc(dnnl::prop_kind::forward_inference, desc, 1e-6f, flags), engine);
  const memory::desc vector({channels}, memory::data_type::f32, memory::format_tag::a);
  memory in(desc, engine), out(desc, engine), scale(vector, engine), shift(vector, engine);
  const dnnl::layer_normalization_forward norm(primitive);
  for (auto _ : state) {
    norm.execute(stream, {{DNNL_ARG_SRC, in}, {DNNL_ARG_DST, out}, {DNNL_ARG_SCALE, scale}, {DNNL_ARG_SHIFT, shift}});
    stream.wait();
  }
  set_rate(state, DType::f32);
}

void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "channels"})
      ->Args({6144, 2048})
      ->Args({17776, 1920})
      ->Args({9540, 3072})
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}

BENCHMARK_CAPTURE(ours, rms, true)->Apply(shapes);
BENCHMARK_CAPTURE(ours, layer, false)->Apply(shapes);
BENCHMARK(onednn)->Apply(shapes);

}  // namespace

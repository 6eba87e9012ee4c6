// Matrix products of this engine beside oneDNN's, at the shapes of LTX-Video 2B (6144 tokens).

#include <benchmark/benchmark.h>

#include <cstring>
#include <dnnl.hpp>
#include <map>
#include <span>

#include "kernels/matmul.h"
#include "kernels/quantized_matmul.h"
#include "kernels/roofline.h"
#include "tensor/random.h"

namespace {

using namespace prax;
using namespace prax::kernels;

double peak_of(DType dtype) {
  static std::map<Arithmetic, double> measured;
  double& peak = measured[arithmetic_of(dtype)];
  if (peak == 0) peak = register_peak(arithmetic_of(dtype));
  return peak;
}

void set_rate(benchmark::State& state, DType dtype) {
  const double flops = 2.0 * static_cast<double>(state.range(0)) * static_cast<double>(state.range(1)) *
                       static_cast<double>(state.range(2));
  state.counters["TFLOPS"] =
      benchmark::Counter(flops / 1e12, benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::kIs1000);
  state.counters["of_peak"] = benchmark::Counter(flops / peak_of(dtype), benchmark::Counter::kIsIterationInvariantRate);
}

void ours(benchmark::State& state, DType dtype) {
  const int64_t m = state.range(0), k = state.range(1), n = state.range(2);
  const DType io = activation_dtype(dtype);
  const Tensor a = Generator(1).randn({m, k}).to(io);
  Tensor out = Tensor::empty({m, n}, io);
  const PackedMatrix w = PackedMatrix::pack(Generator(2).randn({n, k}), dtype);
  Epilogue e;
  e.out = out.raw();
  e.out_dtype = io;
  e.out_stride = n;
  for (auto _ : state) matmul(a.raw(), io, m, k, w, e);
  set_rate(state, dtype);
}

//! int8 from activations of the width between layers: their quantisation counts.
void ours_int8(benchmark::State& state) {
  const int64_t m = state.range(0), k = state.range(1), n = state.range(2);
  const DType io = activation_dtype(DType::i8);
  const Tensor a = Generator(1).randn({m, k}).to(io), weight = Generator(2).randn({n, k});
  Tensor out = Tensor::empty({m, n}, io);
  const QuantizedMatrix w = QuantizedMatrix::pack(std::span(&weight, 1));
  Epilogue e;
  e.out = out.raw();
  e.out_dtype = io;
  e.out_stride = n;
  for (auto _ : state) matmul(QuantizedActivation(a.raw(), io, m, k, k), 0, m, w, e);
  set_rate(state, DType::i8);
}

void onednn(benchmark::State& state, dnnl::memory::data_type type) try {
  const int64_t m = state.range(0), k = state.range(1), n = state.range(2);
  using memory = dnnl::memory;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const memory::desc a_desc({m, k}, type, memory::format_tag::ab), c_desc({m, n}, type, memory::format_tag::ab);
  const memory::desc b_any({k, n}, type, memory::format_tag::any), b_desc({k, n}, type, memory::format_tag::ba);
  const dnnl::matmul::primitive_desc primitive(dnnl::matmul::desc(a_desc, b_any, c_desc), engine);
  memory a(a_desc, engine), b(b_desc, engine), c(c_desc, engine), packed(primitive.weights_desc(), engine);
  const DType dtype = type == memory::data_type::f32 ? DType::f32 : DType::bf16;
  const Tensor ta = Generator(1).randn({m, k}).to(dtype), tb = Generator(2).randn({n, k}).to(dtype);
  std::memcpy(a.get_data_handle(), ta.raw(), ta.bytes());
  std::memcpy(b.get_data_handle(), tb.raw(), tb.bytes());
  dnnl::reorder(b, packed).execute(stream, b, packed);
  const dnnl::matmul product(primitive);
  for (auto _ : state) {
    product.execute(stream, {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, packed}, {DNNL_ARG_DST, c}});
    stream.wait();
  }
  set_rate(state, dtype);
} catch (const dnnl::error& e) {  // bf16 on a CPU that does not multiply it
  state.SkipWithError(e.what());
}

void shapes(benchmark::internal::Benchmark* b) {
  b->Args({6144, 2048, 2048})
      ->Args({6144, 2048, 8192})
      ->Args({6144, 8192, 2048})
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}

BENCHMARK_CAPTURE(ours, bf16, DType::bf16)->Apply(shapes);
BENCHMARK_CAPTURE(onednn, bf16, dnnl::memory::data_type::bf16)->Apply(shapes);
BENCHMARK(ours_int8)->Apply(shapes);
BENCHMARK_CAPTURE(ours, f32, DType::f32)->Apply(shapes);
BENCHMARK_CAPTURE(onednn, f32, dnnl::memory::data_type::f32)->Apply(shapes);

}  // namespace

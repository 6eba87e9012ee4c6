// Matrix products of this engine beside oneDNN's, at the shapes of LTX-Video 2B (6144 tokens).

#include <benchmark/benchmark.h>

#include <cstring>
#include <dnnl.hpp>

#include "kernels/matmul.h"
#include "tensor/random.h"

namespace {

using namespace prax;
using namespace prax::kernels;

void set_rate(benchmark::State& state) {
  const double flops = 2.0 * static_cast<double>(state.range(0)) * static_cast<double>(state.range(1)) *
                       static_cast<double>(state.range(2));
  state.counters["TFLOPS"] =
      benchmark::Counter(flops / 1e12, benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::kIs1000);
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
  set_rate(state);
}

void onednn(benchmark::State& state, dnnl::memory::data_type type) {
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
  set_rate(state);
}

void shapes(benchmark::internal::Benchmark* b) {
  b->Args({6144, 2048, 2048})->Args({6144, 2048, 8192})->Args({6144, 8192, 2048})->Unit(benchmark::kMillisecond)->UseRealTime();
}

BENCHMARK_CAPTURE(ours, bf16, DType::bf16)->Apply(shapes);
BENCHMARK_CAPTURE(onednn, bf16, dnnl::memory::data_type::bf16)->Apply(shapes);
BENCHMARK_CAPTURE(ours, f32, DType::f32)->Apply(shapes);
BENCHMARK_CAPTURE(onednn, f32, dnnl::memory::data_type::f32)->Apply(shapes);

}  // namespace

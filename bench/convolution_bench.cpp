// Convolutions of video decoders, 3x3x3 over three pictures to one, beside oneDNN's, at the shapes of LTX-Video and
// CogVideoX. Rates count the operations of all 27 taps, so that of_peak can pass 1.

#include <benchmark/benchmark.h>

#include <array>
#include <dnnl.hpp>
#include <vector>

#include "kernels/convolution.h"
#include "kernels/roofline.h"
#include "tensor/random.h"

namespace {

using namespace prax;
using namespace prax::kernels;

struct Shape3d {
  int64_t in, out, height, width;
};

Shape3d shape_of(const benchmark::State& state) {
  return {state.range(0), state.range(1), state.range(2), state.range(3)};
}

void set_rate(benchmark::State& state) {
  static const double peak = register_peak(arithmetic_of(DType::bf16));
  const Shape3d s = shape_of(state);
  const double flops = 2.0 * 27 * static_cast<double>(s.in * s.out * s.height * s.width);
  state.counters["TFLOPS"] =
      benchmark::Counter(flops / 1e12, benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::kIs1000);
  state.counters["of_peak"] = benchmark::Counter(flops / peak, benchmark::Counter::kIsIterationInvariantRate);
}

void ours(benchmark::State& state) {
  const Shape3d s = shape_of(state);
  const auto weights = WinogradWeights::pack(Generator(1).randn({s.out, s.in, 3, 3, 3}), DType::bf16);
  // A border of one pixel, and what the kernels read behind the end.
  const int64_t row_pixels = s.width + 2, pixels = (s.height + 3) * row_pixels + 64;
  std::vector<Tensor> pictures;
  std::array<const void*, 3> first{};
  for (size_t i = 0; i < first.size(); ++i) {
    pictures.push_back(Generator(2 + i).randn({pixels, s.in}).to(DType::bf16));
    first[i] = pictures.back().raw();
  }
  Tensor out = Tensor::empty({s.height * row_pixels, s.out});
  const ConvolvedPicture to{s.height, s.width, out.data<float>(), row_pixels * s.out};
  for (auto _ : state) convolve_winograd({first, s.in, row_pixels * s.in, DType::bf16}, weights, to);
  set_rate(state);
}

//! In the layouts that it chooses itself.
void onednn(benchmark::State& state) {
  const Shape3d s = shape_of(state);
  using memory = dnnl::memory;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const auto of = [](memory::dims dims, memory::data_type type) {
    return memory::desc(std::move(dims), type, memory::format_tag::any);
  };
  const dnnl::convolution_forward::primitive_desc primitive(
      dnnl::convolution_forward::desc(
          dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
          of({1, s.in, 3, s.height, s.width}, memory::data_type::bf16),
          of({s.out, s.in, 3, 3, 3}, memory::data_type::bf16), of({s.out}, memory::data_type::f32),
          of({1, s.out, 1, s.height, s.width}, memory::data_type::f32), {1, 1, 1}, {0, 1, 1}, {0, 1, 1}),
      engine);
  memory in(primitive.src_desc(), engine), weights(primitive.weights_desc(), engine);
  memory bias(primitive.bias_desc(), engine), out(primitive.dst_desc(), engine);
  const dnnl::convolution_forward convolution(primitive);
  for (auto _ : state) {
    convolution.execute(stream,
                        {{DNNL_ARG_SRC, in}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_BIAS, bias}, {DNNL_ARG_DST, out}});
    stream.wait();
  }
  set_rate(state);
}

void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"in", "out", "height", "width"})
      ->Args({128, 128, 128, 192})
      ->Args({256, 256, 128, 192})
      ->Args({512, 512, 60, 90})
      ->Args({1024, 1024, 16, 24})
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}

BENCHMARK(ours)->Apply(shapes);
BENCHMARK(onednn)->Apply(shapes);

}  // namespace

#include "kernels/roofline.h"

#include <algorithm>
#include <chrono>

#include "kernels/isa.h"
#include "kernels/kernels.h"
#include "kernels/peak_loops.h"
#include "tensor/parallel.h"
#include "tensor/tensor.h"

namespace prax::kernels {

namespace portable {
PeakLoops peak_loops();
}
#if defined(__x86_64__)
namespace avx2 {
PeakLoops peak_loops();
}
namespace avx512 {
PeakLoops peak_loops();
}
namespace avx512_bf16 {
PeakLoops peak_loops();
}
namespace amx {
PeakLoops peak_loops();
}
#endif

namespace {

constexpr int measurements = 3;
constexpr double measured_seconds = 0.32;
//! parallel_for cuts work into this many pieces a thread.
constexpr int pieces_a_thread = 8;
//! Each of the triad's arrays: 128 MiB, more than the last cache of any common processor holds of three.
constexpr int64_t triad_floats = int64_t{32} << 20;
constexpr int64_t triad_grain = int64_t{1} << 18;

PeakLoops loops() {
  switch (isa()) {
#if defined(__x86_64__)
    case Isa::avx2:
      return avx2::peak_loops();
    case Isa::avx512:
      return avx512::peak_loops();
    case Isa::avx512_bf16:
      return avx512_bf16::peak_loops();
    case Isa::amx:
      return amx::peak_loops();
#endif
    default:
      return portable::peak_loops();
  }
}

template <typename Function>
double seconds_of(Function&& fn) {
  const auto start = std::chrono::steady_clock::now();
  fn();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

//! Iterations that take a thread about this long.
int64_t iterations_for(const PeakLoop& loop, double seconds) {
  constexpr double long_enough = 0.01;
  int64_t iterations = 1024;
  for (;;) {
    const double took = seconds_of([&] { loop.run(iterations); });
    if (took >= long_enough)
      return std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(iterations) * seconds / took));
    iterations *= 2;
  }
}

}  // namespace

Arithmetic arithmetic_of(DType weights) {
  if (weights == DType::i8 && loops().int8.run) return Arithmetic::int8;
  return activation_dtype(weights) == DType::bf16 ? Arithmetic::bf16 : Arithmetic::f32;
}

double register_peak(Arithmetic arithmetic) {
  const PeakLoops all = loops();
  const PeakLoop& loop = arithmetic == Arithmetic::f32 ? all.f32 : arithmetic == Arithmetic::bf16 ? all.bf16 : all.int8;
  if (!loop.run) return 0;
  const int64_t iterations = iterations_for(loop, measured_seconds / pieces_a_thread);
  const int64_t pieces = int64_t{pieces_a_thread} * thread_count();
  double best = 0;
  for (int i = 0; i < measurements; ++i) {
    const double took = seconds_of([&] {
      parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
        for (int64_t piece = begin; piece < end; ++piece) loop.run(iterations);
      });
    });
    best = std::max(best, static_cast<double>(pieces * iterations * loop.operations) / took);
  }
  return best;
}

double memory_bandwidth() {
  Tensor a = Tensor::empty({triad_floats}), b = Tensor::empty({triad_floats}), c = Tensor::empty({triad_floats});
  float* to = a.data<float>();
  float* left = b.data<float>();
  float* right = c.data<float>();
  parallel_for(triad_floats, triad_grain, [&](int64_t begin, int64_t end) {
    std::fill(to + begin, to + end, 0.0f);
    std::fill(left + begin, left + end, 1.0f);
    std::fill(right + begin, right + end, 2.0f);
  });
  double best = 0;
  for (int i = 0; i < measurements; ++i) {
    const double took = seconds_of([&] {
      parallel_for(triad_floats, triad_grain, [&](int64_t begin, int64_t end) {
        for (int64_t j = begin; j < end; ++j) to[j] = left[j] + 3.0f * right[j];
      });
    });
    best = std::max(best, static_cast<double>(3 * sizeof(float) * static_cast<uint64_t>(triad_floats)) / took);
  }
  return best;
}

}  // namespace prax::kernels

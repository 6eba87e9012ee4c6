#include "kernels/common/peak.inl"

namespace prax::kernels::avx512 {

PeakLoops peak_loops() { return {f32_peak, {}, vnni_peak()}; }

}  // namespace prax::kernels::avx512

#include "kernels/common/peak.inl"

namespace prax::kernels::avx2 {

PeakLoops peak_loops() { return {f32_peak, {}, {}}; }

}  // namespace prax::kernels::avx2

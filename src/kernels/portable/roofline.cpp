#include "kernels/common/peak.inl"

namespace prax::kernels::portable {

PeakLoops peak_loops() { return {f32_peak, {}, {}}; }

}  // namespace prax::kernels::portable

#include "bench_models.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "bench_family.h"

namespace prax::app {

namespace {

const Kind* kind_of(const std::string& class_name) {
  for (const Family& family : families())
    for (const Kind& kind : family.kinds)
      if (kind.class_name == class_name) return &kind;
  return nullptr;
}

void require_finite(const Tensor& t, const std::string& model) {
  for (float v : t.span<float>())
    if (!std::isfinite(v))
      throw Error(ErrorKind::internal, model + " gave a number that is not finite",
                  "please report it with the command");
}

//! Hears the ends of layers, and how long those behind the first one took together.
class Laps {
public:
  void lap() {
    if (count_++ == 0) {
      first_ = watch_.seconds();
    } else {
      last_ = watch_.seconds();
    }
  }
  double behind_the_first() const { return count_ > 1 ? last_ - first_ : 0; }

private:
  Stopwatch watch_;
  int64_t count_ = 0;
  double first_ = 0, last_ = 0;
};

//! What the whole would take, after `measured` seconds for the part: layers that were left out take the time of those
//! that were there by their operations. Behind the first one, since with it comes what precedes all layers.
double extrapolated(const Subject& s, double measured, const Laps& laps) {
  if (s.part.layers.empty()) return measured * s.whole.all() / s.part.all();
  const double missing = s.whole.in_layers() - s.part.in_layers();
  if (missing == 0) return measured;
  return measured + laps.behind_the_first() * missing / (s.part.in_layers() - s.part.layers.front());
}

void note_parts(Measurement& r, const Subject& s) {
  if (!s.whole.layers.empty()) {
    r.layers = s.measured;
    r.all_layers = s.all;
  }
  if (s.measured < s.all)
    r.extrapolated = s.whole.layers.empty() ? fmt::format("by operations from {} of {} {}", s.measured, s.all, s.parts)
                                            : fmt::format("linearly from {} of {} {} (memory is that of {})",
                                                          s.measured, s.all, s.parts, s.measured);
}

//! What comes out of a new network with this arithmetic; the inputs are the same for all.
Tensor outcome(const Kind& kind, const Manifest& m, BenchOptions o, DType dtype) {
  o.dtype = dtype;
  const Subject s = kind.subject(m, o);
  if (s.packed > 0) require_memory(s.packed * size_of(dtype), m.name, s.memory_hint);
  const Pass pass = s.build()(false);
  return pass([&] {
    if (o.cancel) o.cancel->check();
  });
}

}  // namespace

std::string component_of(const Manifest& m) {
  const Kind* kind = kind_of(m.class_name);
  return kind ? kind->component : "";
}

BenchOptions completed(const std::vector<Manifest>& manifests, BenchOptions o) {
  for (const bool of_denoiser : {true, false})
    for (const Manifest& m : manifests)
      if (const Kind* kind = kind_of(m.class_name); kind && (kind->component == "transformer") == of_denoiser)
        kind->complete(m.config, o);
  return o;
}

Measurement bench_component(const Manifest& m, const BenchOptions& given) {
  const Kind* kind = kind_of(m.class_name);
  if (!kind) {
    std::string known;
    for (const Family& family : families())
      for (const Kind& each : family.kinds) known += (known.empty() ? "" : ", ") + each.class_name;
    throw Error(ErrorKind::usage, m.name + " is a " + m.class_name + ", which this version of prax cannot measure",
                "it measures " + known);
  }
  const BenchOptions o = completed({m}, given);
  const Subject s = kind->subject(m, o);
  if (s.packed > 0) require_memory(s.packed * size_of(o.dtype), m.name, s.memory_hint);
  Measurement r;
  r.component = kind->component;
  r.model = m.name;
  r.what = s.what;
  r.tokens = s.tokens;
  r.text_tokens = s.text_tokens;
  r.operations = s.whole.all();
  note_parts(r, s);
  MemoryWatch watch;
  Feed feed = s.build();
  const auto once = [&](bool smallest) {
    const Pass pass = feed(smallest);
    Laps laps;
    const Stopwatch time;
    const Tensor out = pass([&] {
      laps.lap();
      if (o.cancel) o.cancel->check();
    });
    const double seconds = time.seconds();
    require_finite(out, m.name);
    return extrapolated(s, seconds, laps);
  };
  once(true);  // packs the weights
  finish(r, repeated(o.repeat, [&] { return once(false); }), watch);
  if (o.against) {
    feed = nullptr;  // one network in memory at a time
    const Tensor own = outcome(*kind, m, o, o.dtype);
    r.difference = difference(own, outcome(*kind, m, o, *o.against));
  }
  return r;
}

}  // namespace prax::app

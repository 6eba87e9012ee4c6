#pragma once

namespace prax {

//! While one exists, this thread's tensors take addresses but no memory, and parallel_for leaves its work out: what
//! runs then asks for the same blocks, in the same order and for as long, as it would in earnest, and computes nothing.
//! So memory_use(), which counts the rehearsal's blocks alone, says how much memory a run will take, from its shapes.
//!
//! Numbers are unspecified meanwhile, zeros mostly. Whatever was made or packed in a rehearsal must go before it ends.
//! Rehearsals do not nest; other threads go on as always.
class Rehearsal {
public:
  Rehearsal();
  ~Rehearsal();
  Rehearsal(const Rehearsal&) = delete;
  Rehearsal& operator=(const Rehearsal&) = delete;
};

//! Whether this thread rehearses.
bool rehearsing();

}  // namespace prax

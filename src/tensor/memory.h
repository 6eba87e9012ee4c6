#pragma once

#include <cstddef>
#include <memory>

namespace prax {

//! 64-byte aligned memory, not cleared. Large blocks are kept for reuse when freed (a denoising step asks for the
//! same sizes again and again, and fresh pages cost a fault each); a block of 2 MiB and more takes pages of kept blocks
//! of other sizes before it takes fresh ones. Throws Error(resource) when there is none.
std::shared_ptr<void> allocate(size_t bytes);

//! Gives the kept blocks back to the system; call between stages.
void release_cached_memory();

struct MemoryUse {
  size_t current = 0;  //!< bytes in live blocks
  size_t cached = 0;   //!< bytes kept for reuse
  size_t peak = 0;     //!< largest current + cached so far
  size_t small = 0;    //!< bytes of the live blocks that are the heap's, those under 1 MiB
};
MemoryUse memory_use();
void reset_peak_memory();

//! Anonymous resident bytes of the process right now (mapped weight files do not count), by the kernel's
//! accounting; 0 where it cannot be read.
size_t anonymous_memory();

}  // namespace prax

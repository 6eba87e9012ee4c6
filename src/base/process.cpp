#include "base/process.h"

#include <sys/resource.h>

namespace prax {

uint64_t peak_memory() {
  rusage use = {};
  getrusage(RUSAGE_SELF, &use);
  return static_cast<uint64_t>(use.ru_maxrss) * 1024;
}

}  // namespace prax

#include "base/version.h"

namespace prax {

const char* version() { return PRAX_VERSION; }

}  // namespace prax

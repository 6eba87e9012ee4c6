#pragma once

#include <cstdint>

namespace prax {

//! Most memory that the process has had resident, in bytes, mapped weight files among it.
uint64_t peak_memory();

}  // namespace prax

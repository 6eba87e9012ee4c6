#pragma once

#include <cstdint>

namespace prax {

//! Most memory that the process has had resident, in bytes, mapped weight files among it.
uint64_t peak_memory();

//! Memory that this machine has, or the cgroup that the process is in.
uint64_t total_memory();

//! Memory that this process could still take: what the system and its cgroup have free.
uint64_t available_memory();

}  // namespace prax

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace prax {

//! The numbers in a list of the kernel's, as in /sys/devices/system/node/has_memory: "0-3,8" is 0, 1, 2, 3 and 8. Empty
//! for what is no such list.
std::vector<int> numbers_in_list(const std::string& list);

//! Has the pages of a fresh block (page-aligned) come from all nodes of the machine that have memory, in turns. Threads
//! take pieces of work as they get free, so that each of them reads all of the packed weights: from one node they would
//! all wait for that node's channels. Does nothing where there is one node, or where the kernel refuses.
void spread_over_nodes(void* block, size_t bytes);

}  // namespace prax

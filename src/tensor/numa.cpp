#include "tensor/numa.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>

namespace prax {

namespace {

constexpr int most_nodes = 1024;
constexpr int bits = 8 * sizeof(unsigned long);

//! A bit for each node with memory; empty where there is one alone.
std::vector<unsigned long> node_mask() {
  std::ifstream file("/sys/devices/system/node/has_memory");
  std::string list;
  std::getline(file, list);
  const std::vector<int> nodes = numbers_in_list(list);
  if (nodes.size() < 2) return {};
  std::vector<unsigned long> mask(most_nodes / bits);
  for (const int node : nodes)
    if (node < most_nodes) mask[static_cast<size_t>(node / bits)] |= 1UL << (node % bits);
  return mask;
}

}  // namespace

std::vector<int> numbers_in_list(const std::string& list) {
  std::vector<int> numbers;
  const char *at = list.data(), *end = at + list.size();
  const auto take = [&](int& number) {
    const auto [next, error] = std::from_chars(at, end, number);
    at = next;
    return error == std::errc() && number >= 0;
  };
  while (at < end) {
    int first = 0, last = 0;
    if (!take(first)) return {};
    last = first;
    if (at < end && *at == '-' && (++at, !take(last) || last < first)) return {};
    last = std::min(last, first + most_nodes);
    for (int number = first; number <= last; ++number) numbers.push_back(number);
    if (at < end && *at++ != ',') return {};
  }
  return numbers;
}

void spread_over_nodes(void* block, size_t bytes) {
  static const std::vector<unsigned long> mask = node_mask();
  if (mask.empty()) return;
  ::syscall(SYS_mbind, block, bytes, MPOL_INTERLEAVE, mask.data(), most_nodes + 1, 0);
}

}  // namespace prax

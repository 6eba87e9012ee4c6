#include "text/byte_trie.h"

#include <algorithm>

namespace prax::text {

ByteTrie::ByteTrie(std::vector<std::pair<std::string, int64_t>> entries) {
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });

  struct Range {
    size_t begin, end, depth;  // the entries below a node, and the length of the prefix that they share
  };
  std::vector<Range> ranges{{0, entries.size(), 0}};
  nodes_.emplace_back();
  labels_.push_back(0);
  for (size_t node = 0; node < nodes_.size(); ++node) {
    auto [begin, end, depth] = ranges[node];
    for (; begin < end && entries[begin].first.size() == depth; ++begin) nodes_[node].value = entries[begin].second;
    nodes_[node].first_child = static_cast<uint32_t>(nodes_.size());
    while (begin < end) {
      char label = entries[begin].first[depth];
      size_t next = begin + 1;
      while (next < end && entries[next].first[depth] == label) ++next;
      nodes_.emplace_back();
      labels_.push_back(static_cast<uint8_t>(label));
      ranges.push_back({begin, next, depth + 1});
      ++nodes_[node].children;
      begin = next;
    }
  }
}

int64_t ByteTrie::find(std::string_view key) const {
  size_t node = 0;
  for (char c : key) {
    node = child(node, static_cast<uint8_t>(c));
    if (node == 0) return -1;
  }
  return key.empty() ? -1 : nodes_[node].value;
}

}  // namespace prax::text

#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace prax::text {

//! Strings to numbers, for finding every key that a text begins with. Built once, read by any number of threads.
class ByteTrie {
public:
  ByteTrie() : ByteTrie(std::vector<std::pair<std::string, int64_t>>()) {}
  //! Of two equal keys the later one counts. Values must not be negative; an empty key is never found.
  explicit ByteTrie(std::vector<std::pair<std::string, int64_t>> entries);

  //! Calls found(length, value) for every key that is a prefix of the text, shortest first.
  template <typename Found>
  void each_prefix(std::string_view text, Found&& found) const {
    size_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      node = child(node, static_cast<uint8_t>(text[i]));
      if (node == 0) return;
      if (nodes_[node].value >= 0) found(i + 1, nodes_[node].value);
    }
  }
  //! The value of exactly this key, or -1.
  int64_t find(std::string_view key) const;

private:
  struct Node {
    uint32_t first_child = 0;
    uint32_t children = 0;
    int64_t value = -1;
  };

  //! The child's index, or 0 (the root is nobody's child).
  size_t child(size_t node, uint8_t label) const {
    const Node& parent = nodes_[node];
    if (parent.children == 0) return 0;
    const uint8_t* labels = labels_.data() + parent.first_child;
    const void* hit = std::memchr(labels, label, parent.children);
    return hit ? parent.first_child + static_cast<size_t>(static_cast<const uint8_t*>(hit) - labels) : 0;
  }

  std::vector<Node> nodes_;      // breadth first, so that siblings are neighbours
  std::vector<uint8_t> labels_;  // of the edge that leads to each node
};

}  // namespace prax::text

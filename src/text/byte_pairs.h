#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace prax::text {

//! Byte-pair encoding (Sennrich et al. 2015, arXiv 1508.07909) as CLIP has it: a word's bytes become printable
//! characters, the last one with "</w>", and neighbours join in the order in which training learnt their pairs.
class BytePairs {
public:
  //! Reads vocab.json and merges.txt of a folder. Error(checkpoint) when one is missing or broken.
  static BytePairs read(const std::filesystem::path& folder);

  //! Appends the ids of a word (any bytes, not empty); what the vocabulary does not hold becomes `unknown`.
  void encode(std::string_view word, int64_t unknown, std::vector<int64_t>& ids) const;

  //! The id of exactly this token, or -1.
  int64_t find(const std::string& token) const;
  //! One more than the largest id.
  int64_t size() const { return size_; }

private:
  std::unordered_map<std::string, int64_t> vocabulary_;
  std::unordered_map<std::string, int64_t> ranks_;  //!< of pairs, their parts with a space between
  int64_t size_ = 0;
};

}  // namespace prax::text

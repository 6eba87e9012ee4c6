#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace prax {

//! The candidate that the misspelt word most likely meant (edit distance with swaps, at most a third of its length,
//! at least one), or "" when none is near.
std::string nearest_word(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace prax

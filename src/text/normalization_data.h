#pragma once

#include <cstdint>
#include <span>

#include "text/unicode_data.h"

namespace prax::text {

//! A canonical decomposition of one step; `second` is 0 where it is one other character.
struct Decomposition {
  char32_t composed, first, second;
};

//! Characters [first, last] of one canonical combining class other than 0.
struct CombiningRange {
  char32_t first, last;
  uint8_t value;
};

//! Characters from `first` to `last`, `step` apart, whose lower case is `distance` away.
struct LowerRange {
  char32_t first, last;
  uint8_t step;
  int32_t distance;
};

//! A character that stands for another one.
struct Exchange {
  char32_t from, to;
};

//! Sorted by the composed character; Hangul syllables are left out, theirs are arithmetic.
std::span<const Decomposition> decompositions();
//! Those of two characters that do not become one again.
std::span<const char32_t> composition_exclusions();
std::span<const CombiningRange> combining_ranges();
std::span<const LowerRange> lower_ranges();
std::span<const CodePointRange> letter_ranges();  //!< general categories L*
std::span<const CodePointRange> number_ranges();  //!< general categories N*
std::span<const Exchange> width_exchanges();  //!< half- and fullwidth forms and their NFKC where it is one character

}  // namespace prax::text

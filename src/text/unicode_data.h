#pragma once

#include <cstdint>
#include <span>

namespace prax::text {

//! Grapheme_Cluster_Break of a character (UAX #29), with Extended_Pictographic and InCB=Consonant as classes of their
//! own, which they can be because no character has one of them and another break class.
enum class GraphemeClass : uint8_t {
  any,
  carriage_return,
  line_feed,
  control,
  extend,
  zero_width_joiner,
  regional_indicator,
  prepend,
  spacing_mark,
  hangul_l,
  hangul_v,
  hangul_t,
  hangul_lv,
  hangul_lvt,
  extended_pictographic,
  conjunct_consonant
};

struct GraphemeRange {
  char32_t first, last;  //!< both inclusive
  GraphemeClass value;
};

struct CodePointRange {
  char32_t first, last;  //!< both inclusive
};

//! Sorted ranges of every class but `any` and the precomposed Hangul syllables, whose class is arithmetic. Unicode 17.0
//! (GraphemeBreakProperty, emoji-data and DerivedCoreProperties), the version of the reference's tokenizers 0.23.
std::span<const GraphemeRange> grapheme_ranges();

//! InCB=Linker, sorted: the viramas that join consonants (DerivedCoreProperties of Unicode 17.0).
std::span<const char32_t> conjunct_linkers();

//! Sorted ranges of word characters, `\w` of UTS #18 annex C: Alphabetic, M, Nd, Pc and Join_Control. Unicode 16.0, the
//! version of the reference's regular expressions.
std::span<const CodePointRange> word_ranges();

}  // namespace prax::text

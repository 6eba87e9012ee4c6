#include "text/unicode.h"

#include <algorithm>

namespace prax::text {

namespace {

uint8_t byte_at(std::string_view text, size_t offset) { return static_cast<uint8_t>(text[offset]); }

//! Length of the valid sequence at `offset`, or 0 with `bad` the length of the maximal subpart to replace
//! (Unicode table 3-7, well-formed UTF-8 byte sequences).
size_t sequence_length(std::string_view text, size_t offset, size_t& bad) {
  uint8_t lead = byte_at(text, offset);
  if (lead < 0x80) return 1;
  size_t length = 0;
  uint8_t low = 0x80, high = 0xBF;  // of the second byte
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if ((lead & 0xF0) == 0xE0) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  }
  bad = 1;
  for (size_t i = 1; i < length; ++i, low = 0x80, high = 0xBF) {
    if (offset + i >= text.size()) return 0;
    uint8_t next = byte_at(text, offset + i);
    if (next < low || next > high) return 0;
    bad = i + 1;
  }
  return length;
}

bool is_conjunct_linker(char32_t c) { return std::ranges::binary_search(conjunct_linkers(), c); }

bool is_break_control(GraphemeClass c) {
  return c == GraphemeClass::control || c == GraphemeClass::carriage_return || c == GraphemeClass::line_feed;
}

//! What rules GB9c, GB11 and GB12 need to know of the cluster so far.
struct ClusterState {
  bool consonant = false;          //!< a conjunct consonant followed by linkers and extends only
  bool linker = false;             //!< ... at least one of them a linker
  bool pictograph = false;         //!< a pictograph followed by extends only
  bool joined_pictograph = false;  //!< ... and then one ZWJ, the last character
  size_t regional_indicators = 0;  //!< at the end

  void add(char32_t c, GraphemeClass kind) {
    bool extends = kind == GraphemeClass::extend || kind == GraphemeClass::zero_width_joiner;
    if (kind == GraphemeClass::conjunct_consonant) {
      consonant = true;
      linker = false;
    } else if (is_conjunct_linker(c)) {
      linker = consonant;
    } else if (!extends || c == 0x200C) {  // ZWNJ is the one Extend that is not InCB=Extend
      consonant = linker = false;
    }
    joined_pictograph = pictograph && kind == GraphemeClass::zero_width_joiner;
    if (kind == GraphemeClass::extended_pictographic) {
      pictograph = true;
    } else if (kind != GraphemeClass::extend) {
      pictograph = false;
    }
    regional_indicators = kind == GraphemeClass::regional_indicator ? regional_indicators + 1 : 0;
  }
};

//! Whether there is no cluster boundary between two neighbours (UAX #29, table 1c and rules GB3 to GB999).
bool joins(GraphemeClass before, GraphemeClass after, const ClusterState& state) {
  using enum GraphemeClass;
  if (before == carriage_return && after == line_feed) return true;       // GB3
  if (is_break_control(before) || is_break_control(after)) return false;  // GB4, GB5
  switch (before) {
    case hangul_l:  // GB6
      if (after == hangul_l || after == hangul_v || after == hangul_lv || after == hangul_lvt) return true;
      break;
    case hangul_lv:
    case hangul_v:  // GB7
      if (after == hangul_v || after == hangul_t) return true;
      break;
    case hangul_lvt:
    case hangul_t:  // GB8
      if (after == hangul_t) return true;
      break;
    case prepend:  // GB9b
      return true;
    default:
      break;
  }
  switch (after) {
    case extend:
    case zero_width_joiner:  // GB9
    case spacing_mark:       // GB9a
      return true;
    case conjunct_consonant:  // GB9c
      return state.consonant && state.linker;
    case extended_pictographic:  // GB11
      return state.joined_pictograph;
    case regional_indicator:  // GB12, GB13
      return state.regional_indicators % 2 == 1;
    default:
      return false;  // GB999
  }
}

template <typename Range>
const Range* find_range(std::span<const Range> ranges, char32_t c) {
  auto it = std::lower_bound(ranges.begin(), ranges.end(), c,
                             [](const Range& range, char32_t value) { return range.last < value; });
  return it != ranges.end() && it->first <= c ? &*it : nullptr;
}

}  // namespace

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    size_t bad = 1;
    if (size_t length = sequence_length(text, i, bad); length > 0) {
      out.append(text, i, length);
      i += length;
    } else {
      out += "\xEF\xBF\xBD";
      i += bad;
    }
  }
  return out;
}

bool is_valid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    size_t bad = 1, length = sequence_length(text, i, bad);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

Character character_at(std::string_view text, size_t offset) {
  uint8_t lead = byte_at(text, offset);
  auto next = [&](size_t i) { return static_cast<char32_t>(byte_at(text, offset + i) & 0x3F); };
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {static_cast<char32_t>(lead & 0x1F) << 6 | next(1), 2};
  if (lead < 0xF0) return {static_cast<char32_t>(lead & 0x0F) << 12 | next(1) << 6 | next(2), 3};
  return {static_cast<char32_t>(lead & 0x07) << 18 | next(1) << 12 | next(2) << 6 | next(3), 4};
}

GraphemeClass grapheme_class(char32_t c) {
  if (c >= 0x20 && c < 0x7F) return GraphemeClass::any;
  if (c >= 0xAC00 && c <= 0xD7A3) {  // Hangul syllables: 28 to a leading pair, the first without a trailing consonant
    return (c - 0xAC00) % 28 == 0 ? GraphemeClass::hangul_lv : GraphemeClass::hangul_lvt;
  }
  const GraphemeRange* range = find_range(grapheme_ranges(), c);
  return range ? range->value : GraphemeClass::any;
}

size_t grapheme_end(std::string_view text, size_t begin) {
  Character first = character_at(text, begin);
  size_t end = begin + first.bytes;
  // Two printable ASCII neighbours never join; most text ends here.
  if (end < text.size() && first.code_point >= 0x20 && first.code_point < 0x7F && byte_at(text, end) < 0x80) return end;
  ClusterState state;
  GraphemeClass before = grapheme_class(first.code_point);
  state.add(first.code_point, before);
  while (end < text.size()) {
    Character next = character_at(text, end);
    GraphemeClass after = grapheme_class(next.code_point);
    if (!joins(before, after, state)) break;
    state.add(next.code_point, after);
    before = after;
    end += next.bytes;
  }
  return end;
}

bool is_white_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_word(char32_t c) { return find_range(word_ranges(), c) != nullptr; }

}  // namespace prax::text

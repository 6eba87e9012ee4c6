#include "text/normalization.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "text/normalization_data.h"
#include "text/unicode.h"

namespace prax::text {

namespace {

// Hangul syllables are arithmetic (Unicode 3.12).
constexpr char32_t syllable_base = 0xAC00, leading_base = 0x1100, vowel_base = 0x1161, trailing_base = 0x11A7;
constexpr char32_t leading_count = 19, vowel_count = 21, trailing_count = 28;
constexpr char32_t syllable_count = leading_count * vowel_count * trailing_count;

constexpr char32_t capital_sigma = 0x3A3, final_sigma = 0x3C2, small_sigma = 0x3C3;
constexpr char32_t capital_i_with_dot = 0x130, dot_above = 0x307;

//! The range of a sorted table that holds c, or null.
template <typename Range>
const Range* find(std::span<const Range> ranges, char32_t c) {
  const auto it = std::partition_point(ranges.begin(), ranges.end(), [c](const Range& r) { return r.last < c; });
  return it != ranges.end() && it->first <= c ? &*it : nullptr;
}

uint8_t combining_class(char32_t c) {
  const CombiningRange* range = find(combining_ranges(), c);
  return range ? range->value : 0;
}

void decompose(char32_t c, std::u32string& out) {
  if (c >= syllable_base && c < syllable_base + syllable_count) {
    const char32_t s = c - syllable_base;
    out += leading_base + s / (vowel_count * trailing_count);
    out += vowel_base + s % (vowel_count * trailing_count) / trailing_count;
    if (s % trailing_count != 0) out += trailing_base + s % trailing_count;
    return;
  }
  const auto table = decompositions();
  const auto it = std::lower_bound(table.begin(), table.end(), c,
                                   [](const Decomposition& d, char32_t value) { return d.composed < value; });
  if (c < 0xC0 || it == table.end() || it->composed != c) {
    out += c;
    return;
  }
  decompose(it->first, out);
  if (it->second != 0) out += it->second;
}

//! The character that two become, or 0.
char32_t composed_of(char32_t a, char32_t b) {
  static const auto pairs = [] {
    std::map<std::pair<char32_t, char32_t>, char32_t> map;
    for (const Decomposition& d : decompositions())
      if (d.second != 0) map.emplace(std::pair(d.first, d.second), d.composed);
    const auto excluded = composition_exclusions();
    std::erase_if(map,
                  [&](const auto& pair) { return std::binary_search(excluded.begin(), excluded.end(), pair.second); });
    return map;
  }();
  if (a >= leading_base && a < leading_base + leading_count && b >= vowel_base && b < vowel_base + vowel_count)
    return syllable_base + ((a - leading_base) * vowel_count + b - vowel_base) * trailing_count;
  if (a >= syllable_base && a < syllable_base + syllable_count && (a - syllable_base) % trailing_count == 0 &&
      b > trailing_base && b < trailing_base + trailing_count)
    return a + b - trailing_base;
  const auto it = pairs.find({a, b});
  return it == pairs.end() ? 0 : it->second;
}

//! Whether case looks through a character (an apostrophe, a full stop, an accent).
bool is_case_ignorable(char32_t c) {
  return c == '\'' || c == '.' || c == ':' || c == '^' || c == '`' || c == 0xAD || c == 0xB7 || c == 0x2019 ||
         combining_class(c) != 0;
}

//! Whether the sigma at `i` ends a word: a letter before it and none behind, with what case looks through left out.
bool ends_word(std::u32string_view text, size_t i) {
  size_t before = i;
  while (before > 0 && is_case_ignorable(text[before - 1])) --before;
  if (before == 0 || !is_letter(text[before - 1])) return false;
  size_t behind = i + 1;
  while (behind < text.size() && is_case_ignorable(text[behind])) ++behind;
  return behind == text.size() || !is_letter(text[behind]);
}

//! Windows-1252 of the bytes 0x80 to 0x9F, which C1 controls really mean; undefined ones stay.
constexpr std::array<char32_t, 32> windows_1252{0x20AC, 0x81,   0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                                0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8D,   0x017D, 0x8F,
                                                0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                                0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D,   0x017E, 0x0178};

//! Characters that are two or three in one.
std::u32string_view ligature(char32_t c) {
  switch (c) {
    case 0x132:
      return U"IJ";
    case 0x133:
      return U"ij";
    case 0x149:
      return U"\u02BCn";
    case 0x1C4:
      return U"D\u017D";
    case 0x1C5:
      return U"D\u017E";
    case 0x1C6:
      return U"d\u017E";
    case 0x1C7:
      return U"LJ";
    case 0x1C8:
      return U"Lj";
    case 0x1C9:
      return U"lj";
    case 0x1CA:
      return U"NJ";
    case 0x1CB:
      return U"Nj";
    case 0x1CC:
      return U"nj";
    case 0x1F1:
      return U"DZ";
    case 0x1F2:
      return U"Dz";
    case 0x1F3:
      return U"dz";
    case 0xFB00:
      return U"ff";
    case 0xFB01:
      return U"fi";
    case 0xFB02:
      return U"fl";
    case 0xFB03:
      return U"ffi";
    case 0xFB04:
      return U"ffl";
    case 0xFB05:
      return U"\u017Ft";
    case 0xFB06:
      return U"st";
    case 0xFFE3:
      return U" \u0304";  // fullwidth macron
    default:
      return {};
  }
}

bool is_removed_control(char32_t c) {
  return c < 0x09 || c == 0x0B || (c >= 0x0E && c < 0x20) || c == 0x7F || (c >= 0x206A && c <= 0x206F) || c == 0xFEFF ||
         (c >= 0xFFF9 && c <= 0xFFFC);
}

//! The character of a reference that begins at `i` ("&amp;", "&#233;", "&#xE9;") and its length, or length 0.
std::pair<char32_t, size_t> reference_at(std::u32string_view text, size_t i) {
  constexpr size_t longest = 10;
  const size_t end = text.substr(0, std::min(text.size(), i + longest)).find(U';', i);
  if (text[i] != '&' || end == std::u32string_view::npos) return {0, 0};
  const std::u32string_view name = text.substr(i + 1, end - i - 1);
  constexpr std::array<std::pair<std::u32string_view, char32_t>, 6> names{
      {{U"amp", '&'}, {U"lt", '<'}, {U"gt", '>'}, {U"quot", '"'}, {U"apos", '\''}, {U"nbsp", 0xA0}}};
  for (const auto& [known, c] : names)
    if (name == known) return {c, end + 1 - i};
  if (name.size() < 2 || name[0] != '#') return {0, 0};
  const bool hexadecimal = name[1] == 'x' || name[1] == 'X';
  uint32_t value = 0;
  if (name.size() == 2 && hexadecimal) return {0, 0};
  for (const char32_t c : name.substr(hexadecimal ? 2 : 1)) {
    uint32_t digit = 16;
    if (c >= '0' && c <= '9') digit = c - '0';
    if (hexadecimal && c >= 'a' && c <= 'f') digit = c - 'a' + 10;
    if (hexadecimal && c >= 'A' && c <= 'F') digit = c - 'A' + 10;
    if (digit == 16) return {0, 0};
    value = value * (hexadecimal ? 16 : 10) + digit;
  }
  if (value >= 0x80 && value <= 0x9F) value = windows_1252[value - 0x80];
  if (value == 0 || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) value = 0xFFFD;
  return {value, end + 1 - i};
}

//! The length of a terminal's escape sequence at `i`, such as ESC "[36;44m"; 0 where there is none.
size_t terminal_escape_at(std::u32string_view text, size_t i) {
  if (text[i] != 0x1B || i + 1 >= text.size() || text[i + 1] != '[') return 0;
  size_t end = i + 2;
  while (end < text.size() && ((text[end] >= '0' && text[end] <= '9') || text[end] == ';')) ++end;
  const bool letter =
      end < text.size() && ((text[end] >= 'a' && text[end] <= 'z') || (text[end] >= 'A' && text[end] <= 'Z'));
  return letter ? end + 1 - i : 0;
}

char32_t standard_width(char32_t c) {
  if (c == 0x3000) return ' ';
  const auto table = width_exchanges();
  const auto it =
      std::lower_bound(table.begin(), table.end(), c, [](const Exchange& e, char32_t value) { return e.from < value; });
  return it != table.end() && it->from == c ? it->to : c;
}

char32_t straight_quote(char32_t c) {
  if (c == 0x2BC || (c >= 0x2018 && c <= 0x201B)) return '\'';
  if (c >= 0x201C && c <= 0x201F) return '"';
  return c;
}

std::u32string unescape(std::u32string_view text) {
  std::u32string out;
  for (size_t i = 0; i < text.size();) {
    const auto [c, length] = reference_at(text, i);
    out += length ? c : text[i];
    i += length ? length : 1;
  }
  return out;
}

//! One line through all steps, once.
std::u32string fix_once(std::u32string_view line, bool references) {
  std::u32string text = references ? unescape(line) : std::u32string(line), out;
  for (const char32_t c : std::exchange(text, {})) {
    const char32_t real = c >= 0x80 && c <= 0x9F ? windows_1252[c - 0x80] : c;
    if (const auto parts = ligature(real); !parts.empty()) {
      text += parts;
    } else {
      text += real;
    }
  }
  for (char32_t& c : text) c = straight_quote(standard_width(c));
  for (size_t i = 0; i < text.size(); ++i) {
    char32_t c = text[i];
    if (c == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    if (c == '\r' || c == 0x2028 || c == 0x2029 || c == 0x85) c = '\n';
    if (const size_t length = terminal_escape_at(text, i)) {
      i += length - 1;
      continue;
    }
    if (!is_removed_control(c)) out += c;
  }
  return compose(out);
}

}  // namespace

std::u32string code_points(std::string_view text) {
  std::u32string out;
  for (size_t i = 0; i < text.size();) {
    const Character c = character_at(text, i);
    out += c.code_point;
    i += c.bytes;
  }
  return out;
}

std::string utf8(std::u32string_view text) {
  std::string out;
  const auto put = [&](char32_t bits) { out += static_cast<char>(bits); };
  for (const char32_t c : text) {
    if (c < 0x80) {
      put(c);
    } else if (c < 0x800) {
      put(0xC0 | c >> 6);
      put(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
      put(0xE0 | c >> 12);
      put(0x80 | (c >> 6 & 0x3F));
      put(0x80 | (c & 0x3F));
    } else {
      put(0xF0 | c >> 18);
      put(0x80 | (c >> 12 & 0x3F));
      put(0x80 | (c >> 6 & 0x3F));
      put(0x80 | (c & 0x3F));
    }
  }
  return out;
}

std::u32string compose(std::u32string_view text) {
  if (std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x300; })) return std::u32string(text);
  std::u32string out;
  for (const char32_t c : text) decompose(c, out);
  // Marks in the order of their classes.
  for (size_t i = 0; i < out.size();) {
    size_t end = i;
    while (end < out.size() && combining_class(out[end]) != 0) ++end;
    std::stable_sort(out.begin() + static_cast<std::ptrdiff_t>(i), out.begin() + static_cast<std::ptrdiff_t>(end),
                     [](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); });
    i = end + 1;
  }
  std::u32string composed;
  size_t starter = std::u32string::npos;
  uint8_t last = 0;  // class of the last character that was kept behind the starter; 0: none
  for (const char32_t c : out) {
    const uint8_t value = combining_class(c);
    const bool beside =
        starter != std::u32string::npos && (composed.size() == starter + 1 || (last != 0 && last < value));
    if (const char32_t whole = beside ? composed_of(composed[starter], c) : 0) {
      composed[starter] = whole;
      continue;
    }
    composed += c;
    if (value == 0) starter = composed.size() - 1;
    last = value;
  }
  return composed;
}

std::u32string lower_case(std::u32string_view text) {
  std::u32string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    if (c == capital_i_with_dot) {
      out += U'i';
      out += dot_above;
    } else if (c == capital_sigma) {
      out += ends_word(text, i) ? final_sigma : small_sigma;
    } else {
      const LowerRange* range = find(lower_ranges(), c);
      const bool lowered = range && (c - range->first) % range->step == 0;
      out += lowered ? static_cast<char32_t>(static_cast<int32_t>(c) + range->distance) : c;
    }
  }
  return out;
}

bool is_letter(char32_t c) { return find(letter_ranges(), c) != nullptr; }
bool is_number(char32_t c) { return find(number_ranges(), c) != nullptr; }

std::u32string fix_text(std::u32string_view text) {
  std::u32string out;
  bool references = true;  // from the first "<" on the text is taken for HTML itself
  for (size_t begin = 0; begin < text.size();) {
    size_t end = text.find(U'\n', begin);
    end = end == std::u32string_view::npos ? text.size() : end + 1;
    std::u32string line(text.substr(begin, end - begin)), before;
    references = references && line.find(U'<') == std::u32string::npos;
    do {
      before = line;
      line = fix_once(before, references);
    } while (line != before);
    out += line;
    begin = end;
  }
  return out;
}

}  // namespace prax::text

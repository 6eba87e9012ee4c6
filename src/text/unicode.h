#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "text/unicode_data.h"

namespace prax::text {

//! A character and how many bytes of UTF-8 it takes.
struct Character {
  char32_t code_point;
  size_t bytes;
};

//! The text with every invalid sequence replaced by U+FFFD, one for each maximal subpart (Unicode 3.9, "U+FFFD
//! Substitution of Maximal Subparts"), as Python's `errors="replace"` and browsers do.
std::string replace_invalid_utf8(std::string_view text);

bool is_valid_utf8(std::string_view text);

//! The character at `offset` of valid UTF-8; `offset` must be the start of one.
Character character_at(std::string_view text, size_t offset);

GraphemeClass grapheme_class(char32_t code_point);

//! Where the extended grapheme cluster (UAX #29, with GB9c) ends that begins at `begin`, itself a cluster's start.
size_t grapheme_end(std::string_view text, size_t begin);

//! White_Space of the Unicode Character Database.
bool is_white_space(char32_t code_point);

//! `\w`: letters, marks, digits, connectors.
bool is_word(char32_t code_point);

}  // namespace prax::text

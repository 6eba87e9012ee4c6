#pragma once

#include <string>
#include <string_view>

namespace prax::text {

//! A text as code points and back; it must be valid UTF-8.
std::u32string code_points(std::string_view text);
std::string utf8(std::u32string_view text);

//! Normalization Form C (UAX #15).
std::u32string compose(std::u32string_view text);

//! As Python's str.lower(): with the final form of sigma, and two characters for U+0130.
std::u32string lower_case(std::u32string_view text);

bool is_letter(char32_t code_point);  //!< `\p{L}`
bool is_number(char32_t code_point);  //!< `\p{N}`

//! What ftfy.fix_text makes of a text (https://github.com/rspeer/python-ftfy, 6.x): character references, C1 controls,
//! Latin ligatures, half- and fullwidth forms, curly quotes, line breaks, terminal escapes and control characters are
//! mended, the rest is composed, until nothing changes any more. Two of its steps are left out: text that was decoded
//! in a wrong encoding stays as it is, and of named character references only those of XML and &nbsp; are known.
std::u32string fix_text(std::u32string_view text);

}  // namespace prax::text

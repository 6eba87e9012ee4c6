#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace prax {

//! Bytes in decimal units, as disks and downloads are sold: "812 B", "1.9 GB".
std::string human_bytes(uint64_t bytes);

//! A count of things: "950", "12.3 k", "1.92 billion" (1e9), "345 million".
std::string human_count(uint64_t count);

//! A length of time: "0.4 s", "12 s", "3 min 12 s", "2 h 05 min". Negative and non-finite values give "?".
std::string human_duration(double seconds);

//! The shortest text that reads back as the same number: "3", "0.05".
std::string human_number(double value);

//! A file name's worth of a text: lower-case ASCII letters and digits, words joined by '-', at most `limit`
//! characters and cut between words; `fallback` when nothing is left (a text in another script).
std::string slug(std::string_view text, size_t limit, std::string_view fallback);

//! Byte offset of the first byte that is not part of well-formed UTF-8 (Unicode 15, table 3-7: no overlong forms,
//! no surrogates, nothing above U+10FFFF); std::string_view::npos when all is well.
size_t invalid_utf8_offset(std::string_view text);

}  // namespace prax

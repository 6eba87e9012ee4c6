#include "base/human.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace prax {
namespace {

// Three significant digits at most: "1.9 GB", "19.5 GB", "195 GB".
std::string scaled(double value, std::string_view unit) {
  const int digits = value < 99.95 ? 1 : 0;
  std::string number = fmt::format("{:.{}f}", value, digits);
  if (number.ends_with(".0")) number.resize(number.size() - 2);
  return fmt::format("{} {}", number, unit);
}

}  // namespace

std::string human_bytes(uint64_t bytes) {
  static constexpr std::array units = {"kB", "MB", "GB", "TB", "PB", "EB"};
  if (bytes < 1000) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  // 999.5 would be rounded up to "1000 kB".
  while (value >= 999.5 && unit + 1 < units.size()) {
    value /= 1000;
    ++unit;
  }
  return scaled(value, units[unit]);
}

std::string human_count(uint64_t count) {
  const double value = static_cast<double>(count);
  if (count < 1000) return fmt::format("{}", count);
  if (value < 999.5e3) return scaled(value / 1e3, "k");
  if (value < 999.5e6) return scaled(value / 1e6, "million");
  return fmt::format("{:.{}f} billion", value / 1e9, value < 99.5e9 ? 2 : 0);
}

std::string human_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  if (seconds < 9.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<int64_t>(std::llround(std::min(seconds, 1e12)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  const int64_t minutes = (whole + 30) / 60;
  return fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
}

std::string human_number(double value) { return fmt::format("{}", value); }

std::string slug(std::string_view text, size_t limit, std::string_view fallback) {
  std::string result;
  std::string word;
  auto take = [&] {
    if (word.empty()) return true;
    const size_t needed = result.empty() ? word.size() : result.size() + 1 + word.size();
    if (needed > limit) {
      // A single word longer than the limit is cut; otherwise the name ends before the word that does not fit.
      if (result.empty()) result = word.substr(0, limit);
      return false;
    }
    if (!result.empty()) result += '-';
    result += word;
    word.clear();
    return true;
  };
  for (char c : text) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      word += c;
    } else if (c >= 'A' && c <= 'Z') {
      word += static_cast<char>(c - 'A' + 'a');
    } else if (c == '\'') {
      continue;  // "don't" -> "dont"
    } else if (!take()) {
      return result;
    }
  }
  take();
  return result.empty() ? std::string(fallback) : result;
}

size_t invalid_utf8_offset(std::string_view text) {
  size_t i = 0;
  auto byte = [&](size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u; };
  while (i < text.size()) {
    const unsigned lead = byte(i);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    size_t length = 0;
    unsigned low = 0x80, high = 0xbf;  // the range of the second byte
    if (lead >= 0xc2 && lead <= 0xdf) {
      length = 2;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      length = 3;
      if (lead == 0xe0) low = 0xa0;
      if (lead == 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      length = 4;
      if (lead == 0xf0) low = 0x90;
      if (lead == 0xf4) high = 0x8f;
    } else {
      return i;
    }
    if (byte(i + 1) < low || byte(i + 1) > high) return i;
    for (size_t k = 2; k < length; ++k) {
      if (byte(i + k) < 0x80 || byte(i + k) > 0xbf) return i;
    }
    i += length;
  }
  return std::string_view::npos;
}

}  // namespace prax

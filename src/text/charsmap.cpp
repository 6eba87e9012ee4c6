#include "text/charsmap.h"

#include "base/error.h"
#include "text/unicode.h"

namespace prax::text {

namespace {

// A unit of the double array: bits 0-7 the label, 8 "a leaf follows", 9 "the offset is in steps of 256", 10-30 the
// offset; a leaf has bit 31 set and its value in the others.
bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t value(uint32_t unit) { return unit & 0x7FFFFFFF; }
uint32_t label(uint32_t unit) { return unit & 0x800000FF; }
uint32_t offset(uint32_t unit) { return (unit >> 10) << ((unit & 1U << 9) >> 6); }

uint32_t read_u32(std::string_view bytes, size_t at) {
  uint32_t result = 0;
  for (size_t i = 0; i < 4; ++i) result |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[at + i])) << (8 * i);
  return result;
}

constexpr size_t longest_whole_cluster = 5;  // bytes

}  // namespace

Charsmap::Charsmap(std::string_view blob, std::string origin) : origin_(std::move(origin)) {
  if (blob.empty()) return;
  if (blob.size() < 4) broken();
  size_t units = read_u32(blob, 0) / 4;
  if (units == 0 || units > (blob.size() - 4) / 4) broken();
  trie_.resize(units);
  for (size_t i = 0; i < units; ++i) trie_[i] = read_u32(blob, 4 + 4 * i);
  replacements_ = blob.substr(4 + 4 * units);
  if (!is_valid_utf8(replacements_)) broken();
}

void Charsmap::broken() const {
  throw Error(ErrorKind::checkpoint, "The text normaliser in " + origin_ + " is broken.",
              "Download the tokenizer's folder again.");
}

bool Charsmap::shortest_rule(std::string_view text, std::string_view& replacement) const {
  auto unit_at = [&](size_t position) {
    if (position >= trie_.size()) broken();
    return trie_[position];
  };
  size_t position = offset(trie_[0]);
  for (char c : text) {
    uint8_t byte = static_cast<uint8_t>(c);
    if (byte == 0) return false;  // keys cannot hold it
    position ^= byte;
    uint32_t unit = unit_at(position);
    if (label(unit) != byte) return false;
    position ^= offset(unit);
    if (!has_leaf(unit)) continue;
    size_t begin = value(unit_at(position));
    if (begin > replacements_.size()) broken();
    size_t end = std::min(replacements_.find('\0', begin), replacements_.size());
    replacement = std::string_view(replacements_).substr(begin, end - begin);
    if (!replacement.empty() && (replacement[0] & 0xC0) == 0x80) broken();  // in the middle of a character
    return true;
  }
  return false;
}

std::string Charsmap::normalize(std::string_view text) const {
  if (trie_.empty()) return std::string(text);
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  std::string_view replacement;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = grapheme_end(text, begin);
    if (end - begin <= longest_whole_cluster && shortest_rule(text.substr(begin, end - begin), replacement)) {
      out += replacement;
      begin = end;
      continue;
    }
    while (begin < end) {
      std::string_view character = text.substr(begin, character_at(text, begin).bytes);
      out += shortest_rule(character, replacement) ? replacement : character;
      begin += character.size();
    }
  }
  return out;
}

}  // namespace prax::text

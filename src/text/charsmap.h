#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace prax::text {

//! The normaliser inside a sentencepiece model: rules "these bytes become those", compiled into a double-array trie
//! (sentencepiece's normalizer.cc; Darts, http://chasen.org/~taku/software/darts). NFKC, case folding and the removal
//! of control characters are all such rules.
//!
//! Applied as huggingface/tokenizers does, which is not as sentencepiece does: text is cut into grapheme clusters; one
//! of fewer than six bytes is replaced whole by the rule of its *shortest* matching prefix (so that "\r\n" becomes one
//! space, and an accent after a ligature is dropped); any other character by character.
class Charsmap {
public:
  Charsmap() = default;  //!< leaves text as it is
  //! `blob` is `precompiled_charsmap`; `origin` names the file in errors. Error(checkpoint) when it is broken.
  Charsmap(std::string_view blob, std::string origin);

  //! Valid UTF-8 to valid UTF-8. Error(checkpoint) when a rule points outside of the map.
  std::string normalize(std::string_view text) const;

private:
  //! The replacement of the shortest rule that the text begins with; false when there is none.
  bool shortest_rule(std::string_view text, std::string_view& replacement) const;
  [[noreturn]] void broken() const;

  std::vector<uint32_t> trie_;
  std::string replacements_;  // each ends with a zero byte
  std::string origin_;
};

}  // namespace prax::text

#include "text/added_tokens.h"

#include <algorithm>

#include "base/error.h"
#include "text/unicode.h"

namespace prax::text {

namespace {

//! The start of the last character of non-empty text.
size_t last_character(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (text[at] & 0xC0) == 0x80) --at;
  return at;
}

bool ends_with_word(std::string_view text) {
  return !text.empty() && is_word(character_at(text, last_character(text)).code_point);
}

bool starts_with_word(std::string_view text) { return !text.empty() && is_word(character_at(text, 0).code_point); }

size_t leading_space(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    Character next = character_at(text, at);
    if (!is_white_space(next.code_point)) break;
    at += next.bytes;
  }
  return at;
}

//! Where the white space at the end of the text begins.
size_t trailing_space(std::string_view text) {
  while (!text.empty()) {
    size_t at = last_character(text);
    if (!is_white_space(character_at(text, at).code_point)) break;
    text = text.substr(0, at);
  }
  return text.size();
}

}  // namespace

void AddedTokens::add(const AddedToken& token, const Unigram& model, const Charsmap& normalizer) {
  if (token.content.empty()) return;
  int64_t id = find(token.content);
  if (id < 0) id = model.find(token.content);
  if (id < 0) id = model.size() + new_tokens_++;
  ids_[token.content] = id;
  entries_[id] = {token, token.normalized ? normalizer.normalize(token.content) : token.content};
}

void AddedTokens::build(bool ignore_special) {
  ignore_special_ = ignore_special;
  std::vector<std::pair<std::string, int64_t>> raw, normalized;
  for (const auto& [id, entry] : entries_) (entry.token.normalized ? normalized : raw).emplace_back(entry.pattern, id);
  for (auto* patterns : {&raw, &normalized}) {
    std::sort(patterns->begin(), patterns->end());
    for (size_t i = 0; i < patterns->size(); ++i) {
      const std::string& pattern = (*patterns)[i].first;
      if (!pattern.empty() && (i == 0 || pattern != (*patterns)[i - 1].first)) continue;
      throw Error(ErrorKind::checkpoint,
                  "The added token \"" + entries_.at((*patterns)[i].second).token.content + "\" of the tokenizer " +
                      (pattern.empty() ? "is empty" : "is the same as another") + " after normalisation.",
                  "Correct added_tokens_decoder in tokenizer_config.json, or added_tokens.json.");
    }
  }
  raw_ = ByteTrie(std::move(raw));
  normalized_ = ByteTrie(std::move(normalized));
}

std::vector<AddedTokens::Part> AddedTokens::split(std::string_view text, const ByteTrie& patterns) const {
  std::vector<Part> parts;
  size_t done = 0;  // everything before is in a part
  for (size_t at = 0; at < text.size();) {
    size_t length = 0;
    int64_t id = -1;
    patterns.each_prefix(text.substr(at), [&](size_t matched, int64_t value) { length = matched, id = value; });
    if (id < 0) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + length;
    at = end;  // matches do not overlap, not even one that is discarded
    const AddedToken& token = entries_.at(id).token;
    if (ignore_special_ && token.special) continue;
    if (token.single_word && (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) continue;
    if (token.lstrip) begin = std::max(trailing_space(text.substr(0, begin)), done);
    if (token.rstrip) end += leading_space(text.substr(end));
    if (done < begin) parts.push_back({text.substr(done, begin - done), -1});
    parts.push_back({text.substr(begin, end - begin), id});
    done = end;
  }
  if (done < text.size()) parts.push_back({text.substr(done), -1});
  return parts;
}

int64_t AddedTokens::find(const std::string& content) const {
  auto it = ids_.find(content);
  return it == ids_.end() ? -1 : it->second;
}

const std::string* AddedTokens::text(int64_t id) const {
  auto it = entries_.find(id);
  return it == entries_.end() ? nullptr : &it->second.pattern;
}

}  // namespace prax::text

#include "text/t5_tokenizer.h"

#include <utility>

#include "base/error.h"
#include "text/added_tokens.h"
#include "text/charsmap.h"
#include "text/sentencepiece_model.h"
#include "text/tokenizer_config.h"
#include "text/unicode.h"
#include "text/unigram.h"

namespace prax::text {

namespace {

constexpr std::string_view metaspace = "\xE2\x96\x81";  // U+2581, a word's start
constexpr int64_t unknown_piece = 2;                    // T5's pieces begin with <pad>, </s> and <unk>

//! Calls visit(word) for what stands between white space.
template <typename Visit>
void each_word(std::string_view text, Visit&& visit) {
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    Character next = character_at(text, at);
    if (is_white_space(next.code_point)) {
      if (at > begin) visit(text.substr(begin, at - begin));
      begin = at + next.bytes;
    }
    at += next.bytes;
  }
  if (begin < text.size()) visit(text.substr(begin));
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

}  // namespace

struct T5Tokenizer::Parts {
  TokenizerConfig config;
  Charsmap normalizer;
  Unigram model;
  AddedTokens added;
  int64_t eos_id = 0, unk_id = 0, pad_id = -1;

  void encode_word(std::string_view word, std::vector<int64_t>& ids) const;
};

T5Tokenizer T5Tokenizer::load(const std::filesystem::path& folder) {
  std::filesystem::path file = folder / "spiece.model";
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) {
    bool fast = std::filesystem::exists(folder / "tokenizer.json", ignored);
    throw Error(ErrorKind::checkpoint,
                "The tokenizer folder " + folder.string() + " has no spiece.model" +
                    (fast ? ", only a tokenizer.json, which is not enough." : "."),
                "Put the model's spiece.model there; it is beside the other tokenizer files where the model was "
                "published.");
  }
  SentencePieceModel source = SentencePieceModel::read(file);

  auto parts = std::make_shared<Parts>();
  parts->config = TokenizerConfig::read(folder, source);
  parts->normalizer = Charsmap(source.precompiled_charsmap, file.string());

  std::vector<Unigram::Piece> pieces;
  for (const auto& piece : source.pieces) pieces.push_back({piece.text, piece.score});
  for (int64_t i = parts->config.extra_ids; i-- > 0;) pieces.push_back({"<extra_id_" + std::to_string(i) + ">", 0.0});
  if (std::ssize(pieces) <= unknown_piece) {
    throw Error(ErrorKind::checkpoint, file.string() + " is not a T5 tokenizer: it has fewer than three pieces.",
                "Download the tokenizer's folder again.");
  }
  parts->model = Unigram(std::move(pieces), unknown_piece);

  for (const AddedToken& token : parts->config.added_tokens) parts->added.add(token, parts->model, parts->normalizer);
  parts->added.build(parts->config.split_special_tokens);

  auto id = [&](const std::string& token, int64_t absent) {
    int64_t found = parts->added.find(token);
    return found >= 0 ? found : absent;
  };
  parts->unk_id = id(parts->config.unk_token, unknown_piece);
  parts->eos_id = id(parts->config.eos_token, parts->unk_id);
  parts->pad_id = parts->config.pad_token.empty() ? -1 : id(parts->config.pad_token, parts->unk_id);
  return T5Tokenizer(std::move(parts));
}

//! Metaspace of the reference: U+2581 before the word unless it is there, and a cut before every other one.
void T5Tokenizer::Parts::encode_word(std::string_view word, std::vector<int64_t>& ids) const {
  std::string text = word.starts_with(metaspace) ? std::string(word) : std::string(metaspace).append(word);
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find(metaspace, begin + metaspace.size()), text.size());
    model.encode(std::string_view(text).substr(begin, end - begin), ids);
    begin = end;
  }
}

T5Tokenizer::Encoding T5Tokenizer::encode(std::string_view text, int64_t max_length) const {
  const Parts& parts = *parts_;
  if (max_length < 0) {
    throw Error(ErrorKind::usage, "A text cannot be cut at " + std::to_string(max_length) + " tokens.",
                "Give a positive length, or 0 to keep all of it.");
  }
  if (max_length > 0 && parts.pad_id < 0) {
    throw Error(ErrorKind::checkpoint, "The tokenizer has no padding token.",
                "Set \"pad_token\" in its tokenizer_config.json.");
  }
  Encoding encoding;
  std::vector<int64_t>& ids = encoding.ids;
  std::string valid = replace_invalid_utf8(text);
  for (const AddedTokens::Part& raw : parts.added.split_raw(valid)) {
    if (raw.id >= 0) {
      ids.push_back(raw.id);
      continue;
    }
    std::string normalized = parts.normalizer.normalize(raw.text);
    for (const AddedTokens::Part& part : parts.added.split_normalized(normalized)) {
      if (part.id >= 0) {
        ids.push_back(part.id);
      } else {
        each_word(part.text, [&](std::string_view word) { parts.encode_word(word, ids); });
      }
    }
  }

  if (max_length > 0 && std::ssize(ids) > max_length - 1) {  // one place is the end token's
    encoding.truncated = std::ssize(ids) - (max_length - 1);
    auto begin = parts.config.truncate_left ? ids.begin() : ids.begin() + (max_length - 1);
    ids.erase(begin, begin + encoding.truncated);
  }
  ids.push_back(parts.eos_id);
  encoding.mask.assign(ids.size(), 1);
  if (std::ssize(ids) < max_length) {
    size_t padding = static_cast<size_t>(max_length) - ids.size();
    bool left = parts.config.pad_left;
    ids.insert(left ? ids.begin() : ids.end(), padding, parts.pad_id);
    encoding.mask.insert(left ? encoding.mask.begin() : encoding.mask.end(), padding, 0);
  }
  return encoding;
}

std::string T5Tokenizer::decode(std::span<const int64_t> ids) const {
  const Parts& parts = *parts_;
  std::string out;
  bool first = true;
  for (int64_t id : ids) {
    const std::string* text = parts.added.text(id);
    if (!text && id >= 0 && id < parts.model.size()) text = &parts.model.text(id);
    if (!text) continue;
    std::string shown = *text;
    replace_all(shown, metaspace, first ? "" : " ");
    out += shown;
    first = false;
  }
  if (parts.config.clean_up_tokenization_spaces) {
    static constexpr std::pair<const char*, const char*> changes[] = {
        {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
        {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (auto [from, to] : changes) replace_all(out, from, to);
  }
  return out;
}

int64_t T5Tokenizer::vocab_size() const { return parts_->model.size() + parts_->added.new_tokens(); }

int64_t T5Tokenizer::model_max_length() const { return parts_->config.model_max_length; }

int64_t T5Tokenizer::eos_id() const { return parts_->eos_id; }

int64_t T5Tokenizer::unk_id() const { return parts_->unk_id; }

int64_t T5Tokenizer::pad_id() const { return parts_->pad_id; }

int64_t T5Tokenizer::id_of(const std::string& token) const {
  int64_t id = parts_->added.find(token);
  if (id < 0) id = parts_->model.find(token);
  return id >= 0 ? id : parts_->unk_id;
}

}  // namespace prax::text

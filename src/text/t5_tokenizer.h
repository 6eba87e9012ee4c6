#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace prax::text {

//! The T5 tokenizer of transformers 5 (`T5Tokenizer`, also called `T5TokenizerFast`), rebuilt from `spiece.model` and
//! the JSON files beside it; it gives the same ids, character for character.
//!
//! A text is cut at added tokens ("</s>", "<extra_id_0>"); what is between them is normalised (NFKC and the like, as
//! the model file says), cut at white space, and each word, with U+2581 before it, is cut into the likeliest pieces of
//! the unigram model. The end token follows. Reading is free of state: one tokenizer serves any number of threads.
class T5Tokenizer {
public:
  //! Reads a tokenizer folder. Error(checkpoint) when `spiece.model` is missing or broken, or another file is.
  static T5Tokenizer load(const std::filesystem::path& folder);

  struct Encoding {
    std::vector<int64_t> ids;   //!< tokens, end token, padding
    std::vector<int64_t> mask;  //!< 1 for a token, 0 for padding; as long as ids
    int64_t truncated = 0;      //!< how many tokens were cut
  };
  //! Encodes UTF-8; an invalid sequence counts as U+FFFD. The ids are padded to and cut at `max_length`, always with
  //! the end token; 0 does neither. Error(usage) for a negative length, Error(checkpoint) for padding without a
  //! padding token.
  Encoding encode(std::string_view text, int64_t max_length = 0) const;

  //! The text of ids, special tokens included, as the reference's decode(); ids without a token show nothing.
  std::string decode(std::span<const int64_t> ids) const;

  //! All ids: pieces, sentinels and added tokens (the reference's len(tokenizer)). A model's embedding may be larger.
  int64_t vocab_size() const;
  //! `model_max_length`; INT64_MAX where the checkpoint names none.
  int64_t model_max_length() const;
  int64_t eos_id() const;
  int64_t unk_id() const;
  int64_t pad_id() const;  //!< -1 when the tokenizer has no padding token
  //! The id of exactly this token, or unk_id().
  int64_t id_of(const std::string& token) const;

private:
  struct Parts;
  explicit T5Tokenizer(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}

  std::shared_ptr<const Parts> parts_;
};

}  // namespace prax::text

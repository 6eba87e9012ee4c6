#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "text/added_tokens.h"
#include "text/sentencepiece_model.h"

namespace prax::text {

//! What the JSON files beside `spiece.model` say: tokenizer_config.json, and special_tokens_map.json,
//! added_tokens.json and the added tokens of tokenizer.json where the first has no `added_tokens_decoder`. Read with
//! the precedences of transformers 5 (`_from_pretrained`, `T5Tokenizer.__init__`, `TokenizersBackend.__init__`).
struct TokenizerConfig {
  int64_t model_max_length = 0;  //!< INT64_MAX where nothing says
  int64_t extra_ids = 100;       //!< sentinels `<extra_id_N>` after the model's pieces, the highest number first
  std::string eos_token = "</s>", unk_token = "<unk>", pad_token = "<pad>";  //!< empty for `null`
  bool pad_left = false;                                                     //!< `padding_side`
  bool truncate_left = false;                                                //!< `truncation_side`
  bool split_special_tokens = false;
  bool clean_up_tokenization_spaces = false;
  std::vector<AddedToken> added_tokens;  //!< in the order in which they get their ids

  //! Reads the files of `folder`, of which any may be absent; control and user-defined pieces are added tokens too.
  //! Throws Error(checkpoint) that names file and key when one is not JSON or a value makes no sense.
  static TokenizerConfig read(const std::filesystem::path& folder, const SentencePieceModel& model);
};

}  // namespace prax::text

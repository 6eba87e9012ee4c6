#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace prax::text {

//! The CLIP tokenizer (transformers' `CLIPTokenizer` with ftfy, as the authors of Pyramid Flow ran it), from
//! vocab.json, merges.txt and the JSON files beside them: a text is cut at special tokens; what is between them is
//! mended (see fix_text), its white space made single, lowered, and cut into words, numbers and runs of other
//! characters, which byte-pair encoding turns into ids. Free of state: one tokenizer serves any number of threads.
class ClipTokenizer {
public:
  //! Reads a tokenizer folder. Error(checkpoint) when a file is missing or broken.
  static ClipTokenizer load(const std::filesystem::path& folder);

  struct Encoding {
    std::vector<int64_t> ids;  //!< start, tokens, end, padding
    int64_t tokens = 0;        //!< how many of them are no padding
    int64_t truncated = 0;     //!< how many tokens were cut
  };
  //! Encodes UTF-8; an invalid sequence counts as U+FFFD. The ids are padded to and cut at `max_length`, always with
  //! the start and the end token; 0 does neither. Error(usage) for a length that does not hold these two.
  Encoding encode(std::string_view text, int64_t max_length = 0) const;

  int64_t model_max_length() const;  //!< INT64_MAX where the checkpoint names none
  int64_t start_id() const;
  int64_t end_id() const;
  int64_t pad_id() const;

private:
  struct Parts;
  explicit ClipTokenizer(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}
  void encode_plain(std::string_view text, std::vector<int64_t>& ids) const;

  std::shared_ptr<const Parts> parts_;
};

}  // namespace prax::text

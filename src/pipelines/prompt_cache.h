#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/folder.h"
#include "pipelines/pipeline.h"

namespace prax::pipelines {

//! What the text encoders of a model folder made of texts, kept on the disk: a text that was encoded before is not
//! encoded again, and the encoder's weights are not opened. See LoadOptions::prompt_cache.
//!
//! A file holds one text from one encoder. Its name is a hash of all that decides the bits: the encoder's files (their
//! sizes and times, the content of its configuration), the type and instruction set of the arithmetic, this program,
//! and the tokens. What is found is checked; a broken file is made anew. The least recently used files go first when
//! there are too many.
class PromptCache {
public:
  using Tokens = std::vector<std::vector<int64_t>>;
  //! Encodes texts, given as token ids and masks (none where the encoder reads the padding, too): [texts, ...] f32.
  using Encode = std::function<Tensor(const Tokens& ids, const Tokens& masks)>;

  //! Keeps nothing where the options name no folder.
  PromptCache(const checkpoint::Folder& folder, const LoadOptions& options) : folder_(folder), options_(options) {}

  bool on() const { return !options_.prompt_cache.empty(); }
  //! What `encode` makes of the texts with the encoder `component`, from the disk where it is there. `encode` is called
  //! once for all that are not, or not at all.
  Tensor encoded(const std::string& component, const Tokens& ids, const Tokens& masks, const Encode& encode) const;

private:
  std::string identity_of(const std::string& component) const;
  void store(const std::filesystem::path& file, const Tensor& states) const;
  void make_room() const;

  checkpoint::Folder folder_;
  LoadOptions options_;
};

}  // namespace prax::pipelines

#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace prax::text {

//! What a tokenizer needs of a sentencepiece model file (`spiece.model`): the serialised ModelProto of
//! https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto.
struct SentencePieceModel {
  enum class Type { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
  struct Piece {
    std::string text;
    float score = 0;
    Type type = Type::normal;
  };
  std::vector<Piece> pieces;         //!< a piece's id is its place
  std::string precompiled_charsmap;  //!< normalizer_spec's; empty where text is not normalised

  //! Throws Error(checkpoint) when the file is missing, cannot be read or is no such model.
  static SentencePieceModel read(const std::filesystem::path& file);
  //! The same from bytes; `origin` names them in errors.
  static SentencePieceModel parse(std::string_view bytes, const std::string& origin);
};

}  // namespace prax::text

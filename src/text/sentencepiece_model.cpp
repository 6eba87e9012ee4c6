#include "text/sentencepiece_model.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string_view>

#include "base/error.h"
#include "text/unicode.h"

namespace prax::text {

namespace {

[[noreturn]] void broken(const std::string& origin, const std::string& what) {
  throw Error(ErrorKind::checkpoint, origin + " is not a sentencepiece model: " + what,
              "Download the file again; a checkout without git-lfs leaves a small text file in its place.");
}

//! Reads the fields of one protocol buffers message (https://protobuf.dev/programming-guides/encoding).
class MessageReader {
public:
  enum class Wire { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

  MessageReader(std::string_view data, const std::string& origin) : data_(data), origin_(origin) {}

  //! Moves to the next field; false at the end.
  bool next() {
    if (data_.empty()) return false;
    uint64_t key = take_varint();
    field_ = key >> 3;
    if (field_ == 0) broken(origin_, "it has a field without a number");
    switch (key & 7) {
      case 0:
        wire_ = Wire::varint;
        number_ = take_varint();
        break;
      case 1:
        wire_ = Wire::fixed64;
        value_ = take(8);
        break;
      case 2:
        wire_ = Wire::bytes;
        value_ = take(take_varint());
        break;
      case 5:
        wire_ = Wire::fixed32;
        value_ = take(4);
        break;
      default:
        broken(origin_, "it has a field of an unknown wire type");
    }
    return true;
  }
  uint64_t field() const { return field_; }

  std::string_view bytes() const {
    expect(Wire::bytes);
    return value_;
  }
  uint64_t number() const {
    expect(Wire::varint);
    return number_;
  }
  float real() const {
    expect(Wire::fixed32);
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; ++i) bits |= static_cast<uint32_t>(static_cast<uint8_t>(value_[i])) << (8 * i);
    return std::bit_cast<float>(bits);
  }

private:
  void expect(Wire wire) const {
    if (wire_ != wire) broken(origin_, "field " + std::to_string(field_) + " is of another type than it should be");
  }
  std::string_view take(uint64_t count) {
    if (count > data_.size()) broken(origin_, "it ends in the middle of a field");
    std::string_view taken = data_.substr(0, count);
    data_.remove_prefix(count);
    return taken;
  }
  uint64_t take_varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      uint64_t byte = static_cast<uint8_t>(take(1)[0]);
      if (shift < 64) value |= (byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    broken(origin_, "it has a number of more than ten bytes");
  }

  std::string_view data_;
  const std::string& origin_;
  uint64_t field_ = 0, number_ = 0;
  Wire wire_ = Wire::varint;
  std::string_view value_;
};

SentencePieceModel::Piece parse_piece(std::string_view message, const std::string& origin) {
  SentencePieceModel::Piece piece;
  MessageReader reader(message, origin);
  while (reader.next()) {
    if (reader.field() == 1) {
      piece.text = reader.bytes();
    } else if (reader.field() == 2) {
      piece.score = reader.real();
    } else if (reader.field() == 3) {
      uint64_t type = reader.number();
      if (type < 1 || type > 6) broken(origin, "a piece is of the unknown type " + std::to_string(type));
      piece.type = static_cast<SentencePieceModel::Type>(type);
    }
  }
  if (!is_valid_utf8(piece.text)) broken(origin, "a piece is not valid UTF-8");
  if (!std::isfinite(piece.score)) broken(origin, "the score of the piece \"" + piece.text + "\" is not a number");
  return piece;
}

}  // namespace

SentencePieceModel SentencePieceModel::parse(std::string_view bytes, const std::string& origin) {
  SentencePieceModel model;
  MessageReader reader(bytes, origin);
  while (reader.next()) {
    if (reader.field() == 1) {
      model.pieces.push_back(parse_piece(reader.bytes(), origin));
    } else if (reader.field() == 3) {  // normalizer_spec
      MessageReader normalizer(reader.bytes(), origin);
      while (normalizer.next()) {
        if (normalizer.field() == 2) model.precompiled_charsmap = normalizer.bytes();
      }
    }
  }
  if (model.pieces.empty()) broken(origin, "it has no pieces");
  return model;
}

SentencePieceModel SentencePieceModel::read(const std::filesystem::path& file) {
  std::error_code ignored;
  std::ifstream stream;
  if (std::filesystem::is_regular_file(file, ignored)) stream.open(file, std::ios::binary);
  if (!stream.is_open()) {
    throw Error(ErrorKind::checkpoint, "The tokenizer's " + file.string() + " cannot be read.",
                "Check that the file exists and may be read, or download the model folder again.");
  }
  std::string bytes{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  return parse(bytes, file.string());
}

}  // namespace prax::text

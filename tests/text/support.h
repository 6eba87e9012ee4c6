#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/support.h"
#include "text/sentencepiece_model.h"

namespace prax::text {

using checkpoint::expect_error;
using checkpoint::read_bytes;
using checkpoint::TemporaryFolder;
using Json = nlohmann::ordered_json;

inline std::filesystem::path data_folder() { return PRAX_TEST_DATA; }
inline std::filesystem::path golden_folder() { return data_folder() / "cases/tokenizer_t5/tokenizer"; }
inline std::filesystem::path nano_folder() { return std::filesystem::path(PRAX_SOURCE_DIR) / "models/nano/tokenizer"; }
inline Json read_json(const std::filesystem::path& file) { return Json::parse(read_bytes(file)); }

// Protocol buffers, as far as a sentencepiece model needs them.
inline std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}

inline std::string bytes_field(uint64_t number, const std::string& bytes) {
  return varint(number << 3 | 2) + varint(bytes.size()) + bytes;
}

inline std::string number_field(uint64_t number, uint64_t value) { return varint(number << 3) + varint(value); }

inline std::string float_field(uint64_t number, float value) {
  std::string bytes(4, '\0');
  std::memcpy(bytes.data(), &value, 4);
  return varint(number << 3 | 5) + bytes;
}

inline std::string piece_field(const SentencePieceModel::Piece& piece) {
  return bytes_field(
      1, bytes_field(1, piece.text) + float_field(2, piece.score) + number_field(3, static_cast<uint64_t>(piece.type)));
}

//! The bytes of a spiece.model with `<pad>`, `</s>`, `<unk>`, these pieces, and a normaliser.
inline std::string model_bytes(const std::vector<std::pair<std::string, float>>& pieces,
                               const std::string& charsmap = {}) {
  using Type = SentencePieceModel::Type;
  std::string out = piece_field({"<pad>", 0, Type::control}) + piece_field({"</s>", 0, Type::control}) +
                    piece_field({"<unk>", 0, Type::unknown});
  for (const auto& [text, score] : pieces) out += piece_field({text, score, Type::normal});
  return out + bytes_field(3, bytes_field(1, "rules") + bytes_field(2, charsmap));
}

//! Compiles rules into a `precompiled_charsmap`: a double array in which every node of the trie has 256 places.
inline std::string charsmap_bytes(const std::map<std::string, std::string>& rules) {
  std::string replacements;
  std::map<std::string, uint32_t> nodes{{"", 0}};  // prefix: number
  std::map<std::string, size_t> leaves;
  for (const auto& [key, replacement] : rules) {
    leaves[key] = replacements.size();
    replacements += replacement + '\0';
    for (size_t n = 1; n <= key.size(); ++n) nodes.emplace(key.substr(0, n), 0);
  }
  uint32_t number = 0;
  for (auto& [prefix, node] : nodes) node = number++;
  // The children of node n live at 256 (n + 1) ^ label, and its value at 256 (n + 1).
  auto children = [](uint32_t node) { return 256 * (node + 1); };
  std::vector<uint32_t> units(256 * (nodes.size() + 1));
  for (const auto& [prefix, node] : nodes) {
    uint32_t at = 0, label = 0;
    if (!prefix.empty()) {
      label = static_cast<uint8_t>(prefix.back());
      at = children(nodes.at(prefix.substr(0, prefix.size() - 1))) ^ label;
    }
    units[at] = (at ^ children(node)) << 10 | label;
    if (leaves.contains(prefix)) {
      units[at] |= 1U << 8;
      units[children(node)] = 1U << 31 | static_cast<uint32_t>(leaves[prefix]);
    }
  }
  auto little_endian = [](uint32_t value) {
    std::string out;
    for (int i = 0; i < 4; ++i) out += static_cast<char>(value >> (8 * i));
    return out;
  };
  std::string out = little_endian(static_cast<uint32_t>(4 * units.size()));
  for (uint32_t unit : units) out += little_endian(unit);
  return out + replacements;
}

}  // namespace prax::text

#include "text/byte_pairs.h"

#include <array>
#include <fstream>
#include <limits>
#include <sstream>

#include "base/error.h"
#include "checkpoint/json_text.h"
#include "text/normalization.h"
#include "text/unicode.h"

namespace prax::text {

namespace {

constexpr const char* word_end_mark = "</w>";
//! As many pairs as the reference reads: 49152 tokens less 256 bytes and 2 special tokens.
constexpr size_t most_pairs = 49152 - 256 - 2;
constexpr uintmax_t largest_merges = 16 << 20;

//! The printable stand-ins of bytes: printable Latin-1 is itself, the others follow from U+0100 on (bytes_to_unicode).
std::array<std::string, 256> byte_symbols() {
  std::array<std::string, 256> symbols;
  char32_t next = 0x100;
  for (char32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    symbols[b] = utf8(std::u32string(1, printable ? b : next++));
  }
  return symbols;
}

std::string read_text(const std::filesystem::path& file) {
  std::error_code failure;
  const uintmax_t size = std::filesystem::file_size(file, failure);
  const auto named = [&] { return checkpoint::in_quotes(file.string(), 400); };
  if (failure || !std::filesystem::is_regular_file(file, failure))
    throw Error(ErrorKind::checkpoint, "the tokenizer's file " + named() + " is missing",
                "the download is incomplete; download the tokenizer's folder again");
  if (size > largest_merges)
    throw Error(ErrorKind::checkpoint, named() + " is too large for a tokenizer's file", "download the file again");
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  if (size > 0) text << stream.rdbuf();
  if (!stream) throw Error(ErrorKind::io, "cannot read " + named(), "check its permissions");
  return text.str();
}

}  // namespace

BytePairs BytePairs::read(const std::filesystem::path& folder) {
  BytePairs pairs;
  const auto vocabulary_file = folder / "vocab.json", merges_file = folder / "merges.txt";
  const auto broken = [](const std::filesystem::path& file, const std::string& what) {
    throw Error(ErrorKind::checkpoint, checkpoint::in_quotes(file.string(), 400) + " " + what,
                "download the file again");
  };
  const nlohmann::json vocabulary = checkpoint::read_json(vocabulary_file);
  if (!vocabulary.is_object() || vocabulary.empty()) broken(vocabulary_file, "is no vocabulary");
  for (const auto& [token, id] : vocabulary.items()) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > std::numeric_limits<int32_t>::max())
      broken(vocabulary_file, "gives the token " + checkpoint::in_quotes(token) + " no id");
    pairs.vocabulary_.emplace(token, id.get<int64_t>());
    pairs.size_ = std::max(pairs.size_, id.get<int64_t>() + 1);
  }

  const std::string text = read_text(merges_file);
  if (!is_valid_utf8(text)) broken(merges_file, "is not UTF-8");
  std::istringstream lines(text);
  std::string line;
  std::getline(lines, line);  // its version
  while (std::getline(lines, line) && pairs.ranks_.size() < most_pairs) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    const size_t space = line.find(' ');
    if (space == 0 || space == std::string::npos || space + 1 == line.size() ||
        line.find(' ', space + 1) != std::string::npos)
      broken(merges_file, "has a line " + checkpoint::in_quotes(line) + " that is no pair");
    // Of two equal pairs the later rank counts, as in the reference's dictionary.
    pairs.ranks_.insert_or_assign(line, static_cast<int64_t>(pairs.ranks_.size()));
  }
  return pairs;
}

int64_t BytePairs::find(const std::string& token) const {
  const auto it = vocabulary_.find(token);
  return it == vocabulary_.end() ? -1 : it->second;
}

void BytePairs::encode(std::string_view word, int64_t unknown, std::vector<int64_t>& ids) const {
  static const std::array<std::string, 256> symbols = byte_symbols();
  std::vector<std::string> parts;
  for (const char c : word) parts.push_back(symbols[static_cast<uint8_t>(c)]);
  parts.back() += word_end_mark;
  while (parts.size() > 1) {
    int64_t best = std::numeric_limits<int64_t>::max();
    std::string first, second;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto it = ranks_.find(parts[i] + ' ' + parts[i + 1]);
      if (it == ranks_.end() || it->second >= best) continue;
      best = it->second;
      first = parts[i];
      second = parts[i + 1];
    }
    if (first.empty()) break;
    size_t out = 0;
    for (size_t i = 0; i < parts.size(); ++out) {
      const bool joins = i + 1 < parts.size() && parts[i] == first && parts[i + 1] == second;
      std::string part = joins ? first + second : std::move(parts[i]);
      parts[out] = std::move(part);
      i += joins ? 2 : 1;
    }
    parts.resize(out);
  }
  for (const std::string& part : parts) {
    const int64_t id = find(part);
    ids.push_back(id < 0 ? unknown : id);
  }
}

}  // namespace prax::text

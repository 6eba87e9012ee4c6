#include "text/clip_tokenizer.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checkpoint/json_text.h"
#include "text/byte_pairs.h"
#include "text/byte_trie.h"
#include "text/normalization.h"
#include "text/unicode.h"

namespace prax::text {

namespace {

using nlohmann::json;

constexpr const char* start_of_text = "<|startoftext|>";
constexpr const char* end_of_text = "<|endoftext|>";
constexpr int64_t frame_tokens = 2;  // start and end

//! A token that is found in the raw text.
struct Special {
  std::string content;
  bool lstrip = false, rstrip = false;
};

//! What the JSON files of the folder say.
class Settings {
public:
  explicit Settings(const std::filesystem::path& folder)
      : folder_(folder),
        config_(read("tokenizer_config.json")),
        map_(read("special_tokens_map.json")),
        added_(read("added_tokens.json")) {
    for (const char* key : {"padding_side", "truncation_side"})
      if (value_of(key).is_string() && value_of(key) != "right")
        broken("\"" + std::string(key) + "\" is \"" + value_of(key).get<std::string>() + "\", which is not supported");
  }

  //! A token by its role: "pad_token".
  Special named(const char* key, const char* absent) const {
    const json& value = value_of(key);
    if (value.is_null()) return {absent};
    return special_of(value, key);
  }

  int64_t model_max_length() const {
    const json& value = value_of("model_max_length");
    // "No limit" is written as 10^30.
    if (!value.is_number() || value.get<double>() > 1e15) return std::numeric_limits<int64_t>::max();
    if (!value.is_number_integer() || value.get<int64_t>() < frame_tokens) broken("\"model_max_length\" is no length");
    return value.get<int64_t>();
  }

  //! Tokens that say their id.
  std::map<int64_t, Special> with_ids() const {
    std::map<int64_t, Special> tokens;
    if (config_.contains("added_tokens_decoder")) {
      const json& decoder = config_.at("added_tokens_decoder");
      if (!decoder.is_object()) broken("\"added_tokens_decoder\" is not an object");
      for (const auto& [key, value] : decoder.items()) {
        int64_t id = -1;
        const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
        if (error != std::errc() || end != key.data() + key.size() || id < 0)
          broken(checkpoint::in_quotes(key) + " is no token's id");
        tokens[id] = special_of(value, "added_tokens_decoder");
      }
      return tokens;
    }
    for (const auto& [content, id] : added_.items()) {
      if (!id.is_number_integer() || id.get<int64_t>() < 0)
        broken("\"added_tokens.json\" holds something that is no id");
      tokens[id.get<int64_t>()] = {content};
    }
    return tokens;
  }

  [[noreturn]] void broken(const std::string& what) const {
    throw Error(ErrorKind::checkpoint,
                "the tokenizer in " + checkpoint::in_quotes(folder_.string(), 400) + " is broken: " + what,
                "download the tokenizer's folder again");
  }

private:
  json read(const char* name) const {
    std::error_code ignored;
    if (!std::filesystem::exists(folder_ / name, ignored)) return json::object();
    json value = checkpoint::read_json(folder_ / name);
    if (!value.is_object()) broken(std::string(name) + " is not a JSON object");
    return value;
  }

  //! tokenizer_config.json's, else special_tokens_map.json's, else null.
  const json& value_of(const std::string& key) const {
    static const json nothing;
    for (const json* file : {&config_, &map_})
      if (const auto it = file->find(key); it != file->end() && !it->is_null()) return *it;
    return nothing;
  }

  Special special_of(const json& value, const std::string& key) const {
    if (value.is_string()) return {value.get<std::string>()};
    if (!value.is_object() || !value.contains("content") || !value.at("content").is_string())
      broken("\"" + key + "\" holds something that is not a token");
    const auto flag = [&](const char* name) {
      const auto it = value.find(name);
      return it != value.end() && it->is_boolean() && it->get<bool>();
    };
    if (flag("single_word")) broken("\"" + key + "\" asks for \"single_word\", which is not supported");
    return {value.at("content").get<std::string>(), flag("lstrip"), flag("rstrip")};
  }

  std::filesystem::path folder_;
  json config_, map_, added_;
};

//! The length of a contraction's ending ("'re") at `i` of a lowered text, or 0. Without case, the long s is an s, too.
size_t contraction_at(std::u32string_view text, size_t i) {
  if (text[i] != '\'' || i + 1 >= text.size()) return 0;
  const char32_t a = text[i + 1], b = i + 2 < text.size() ? text[i + 2] : 0;
  if (a == 's' || a == 0x17F || a == 't') return 2;
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e')) return 3;
  if (a == 'm') return 2;
  if (a == 'l' && b == 'l') return 3;
  return a == 'd' ? 2 : 0;
}

//! White space, and the one mark that the reference's pattern neither takes for a letter nor for none: U+0345, whose
//! other case is a letter.
bool is_skipped(char32_t c) { return is_white_space(c) || c == 0x345; }

//! Where the word ends that begins at `i`, which is no white space.
size_t word_end(std::u32string_view text, size_t i) {
  const auto run = [&](auto&& belongs) {
    size_t end = i;
    while (end < text.size() && belongs(text[end])) ++end;
    return end;
  };
  if (const size_t length = contraction_at(text, i)) return i + length;
  if (is_letter(text[i])) return run(is_letter);
  if (is_number(text[i])) return i + 1;
  return run([](char32_t c) { return !is_skipped(c) && !is_letter(c) && !is_number(c); });
}

}  // namespace

struct ClipTokenizer::Parts {
  BytePairs pairs;
  std::vector<Special> specials;
  std::vector<int64_t> special_ids;
  ByteTrie found;  //!< contents of the specials -> their places
  int64_t start = 0, end = 0, pad = 0, unknown = 0;
  int64_t model_max_length = 0;
};

ClipTokenizer ClipTokenizer::load(const std::filesystem::path& folder) {
  const Settings settings(folder);
  auto parts = std::make_shared<Parts>();
  parts->pairs = BytePairs::read(folder);
  parts->model_max_length = settings.model_max_length();
  std::map<int64_t, Special> tokens = settings.with_ids();
  int64_t next = parts->pairs.size();
  if (!tokens.empty()) next = std::max(next, tokens.rbegin()->first + 1);
  const auto id_of = [&](const char* key, const char* absent) {
    const Special token = settings.named(key, absent);
    for (const auto& [id, known] : tokens)
      if (known.content == token.content) return id;
    int64_t id = parts->pairs.find(token.content);
    if (id < 0) id = next++;
    tokens.emplace(id, token);
    return id;
  };
  parts->unknown = id_of("unk_token", end_of_text);
  parts->start = id_of("bos_token", start_of_text);
  parts->end = id_of("eos_token", end_of_text);
  parts->pad = id_of("pad_token", end_of_text);
  std::vector<std::pair<std::string, int64_t>> entries;
  for (const auto& [id, token] : tokens) {
    if (token.content.empty()) settings.broken("a token is empty");
    entries.emplace_back(token.content, static_cast<int64_t>(parts->specials.size()));
    parts->specials.push_back(token);
    parts->special_ids.push_back(id);
  }
  parts->found = ByteTrie(std::move(entries));
  return ClipTokenizer(std::move(parts));
}

int64_t ClipTokenizer::model_max_length() const { return parts_->model_max_length; }
int64_t ClipTokenizer::start_id() const { return parts_->start; }
int64_t ClipTokenizer::end_id() const { return parts_->end; }
int64_t ClipTokenizer::pad_id() const { return parts_->pad; }

//! Text without special tokens as they are written.
void ClipTokenizer::encode_plain(std::string_view raw, std::vector<int64_t>& ids) const {
  const std::u32string text = lower_case(fix_text(code_points(raw)));
  const auto starts_with = [&](size_t i, std::string_view token) {
    return i + token.size() <= text.size() &&
           std::equal(token.begin(), token.end(), text.begin() + static_cast<std::ptrdiff_t>(i));
  };
  for (size_t i = 0; i < text.size();) {
    if (is_skipped(text[i])) {
      ++i;
      continue;
    }
    // Written in capitals they are found here.
    bool special = false;
    for (const char* token : {start_of_text, end_of_text}) {
      if (special || !starts_with(i, token)) continue;
      const int64_t id = parts_->pairs.find(token);
      ids.push_back(id < 0 ? parts_->unknown : id);
      i += std::string_view(token).size();
      special = true;
    }
    if (special) continue;
    const size_t end = word_end(text, i);
    parts_->pairs.encode(utf8(std::u32string_view(text).substr(i, end - i)), parts_->unknown, ids);
    i = end;
  }
}

ClipTokenizer::Encoding ClipTokenizer::encode(std::string_view given, int64_t max_length) const {
  if (max_length != 0 && max_length < frame_tokens)
    throw Error(ErrorKind::usage, "a text of " + std::to_string(max_length) + " tokens cannot hold its start and end",
                "take at least " + std::to_string(frame_tokens));
  const std::string text = replace_invalid_utf8(given);
  std::vector<int64_t> ids;
  size_t plain = 0;
  const auto take_plain = [&](size_t end, bool strip_end) {
    std::string_view part = std::string_view(text).substr(plain, end - plain);
    while (strip_end && !part.empty() && is_white_space(static_cast<uint8_t>(part.back()))) part.remove_suffix(1);
    encode_plain(part, ids);
  };
  for (size_t i = 0; i < text.size();) {
    int64_t found = -1;
    size_t length = 1;
    parts_->found.each_prefix(std::string_view(text).substr(i), [&](size_t bytes, int64_t place) {
      found = place;
      length = bytes;
    });
    if (found >= 0) {
      const Special& special = parts_->specials[static_cast<size_t>(found)];
      take_plain(i, special.lstrip);
      ids.push_back(parts_->special_ids[static_cast<size_t>(found)]);
      plain = i + length;
      while (special.rstrip && plain < text.size() && is_white_space(static_cast<uint8_t>(text[plain]))) ++plain;
      i = plain;
    } else {
      i += length;
    }
  }
  take_plain(text.size(), false);

  Encoding out;
  const auto count = static_cast<int64_t>(ids.size());
  if (max_length != 0 && count > max_length - frame_tokens) {
    out.truncated = count - (max_length - frame_tokens);
    ids.resize(static_cast<size_t>(max_length - frame_tokens));
  }
  out.ids.push_back(parts_->start);
  out.ids.insert(out.ids.end(), ids.begin(), ids.end());
  out.ids.push_back(parts_->end);
  out.tokens = static_cast<int64_t>(out.ids.size());
  if (max_length != 0) out.ids.resize(static_cast<size_t>(max_length), parts_->pad);
  return out;
}

}  // namespace prax::text

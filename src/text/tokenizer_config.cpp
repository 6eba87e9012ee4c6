#include "text/tokenizer_config.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace prax::text {

namespace {

using Json = nlohmann::ordered_json;  // the order of keys decides the ids of new tokens

constexpr const char* config_name = "tokenizer_config.json";
//! The names that every tokenizer of the reference knows, in its order.
constexpr const char* named_tokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};

//! A token as the configuration gives it: plain text, or with properties. The two are never equal to the reference.
struct GivenToken {
  bool plain = true;
  AddedToken token;
  bool normalized_is_given = false;

  bool operator==(const GivenToken&) const = default;
};

class Reader {
public:
  explicit Reader(const std::filesystem::path& folder) : folder_(folder) {}

  TokenizerConfig read(const SentencePieceModel& model);

private:
  [[noreturn]] void wrong(const std::string& file, const std::string& what) const {
    throw Error(ErrorKind::checkpoint, "The tokenizer's " + (folder_ / file).string() + " is broken: " + what + ".",
                "Download the tokenizer's folder again, or correct the file.");
  }
  //! The file's object; null when there is no such file.
  Json read_object(const std::string& file) const;
  GivenToken parse_token(const Json& value, const std::string& file, const std::string& key) const;
  void merge_special_tokens_map();
  void read_added_tokens();
  void collect_model_specific();
  std::vector<GivenToken> extra_tokens(const SentencePieceModel& model) const;
  std::string named(const char* key, const std::string& absent) const;
  bool flag(const char* key) const;
  bool is_left(const char* key) const;
  int64_t model_max_length() const;
  int64_t read_extra_ids() const;

  std::filesystem::path folder_;
  Json values_;  // tokenizer_config.json, and what overrides it
  int64_t extra_ids_ = 100;
  std::map<int64_t, AddedToken> decoder_;                           // tokens that say their place
  std::vector<std::pair<std::string, GivenToken>> model_specific_;  // "image_token": "<image>"
};

Json Reader::read_object(const std::string& file) const {
  std::filesystem::path path = folder_ / file;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return nullptr;
  std::ifstream stream;
  if (std::filesystem::is_regular_file(path, ignored)) stream.open(path, std::ios::binary);
  Json json = stream.is_open() ? Json::parse(stream, nullptr, false) : Json(Json::value_t::discarded);
  if (json.is_discarded()) wrong(file, "it cannot be read as JSON");
  if (!json.is_object()) wrong(file, "it is not a JSON object");
  return json;
}

GivenToken Reader::parse_token(const Json& value, const std::string& file, const std::string& key) const {
  GivenToken given;
  if (value.is_string()) {
    given.token.content = value.get<std::string>();
    given.token.special = true;
    return given;
  }
  given.plain = false;
  if (!value.is_object() || !value.contains("content") || !value["content"].is_string()) {
    wrong(file, "\"" + key + "\" holds something that is not a token");
  }
  given.token.content = value["content"].get<std::string>();
  auto property = [&](const char* name, bool& target) {
    auto it = value.find(name);
    if (it == value.end() || it->is_null()) return false;
    if (!it->is_boolean()) wrong(file, "\"" + std::string(name) + "\" in \"" + key + "\" is not true or false");
    target = it->get<bool>();
    return true;
  };
  property("single_word", given.token.single_word);
  property("lstrip", given.token.lstrip);
  property("rstrip", given.token.rstrip);
  property("special", given.token.special);
  given.normalized_is_given = property("normalized", given.token.normalized);
  if (!given.normalized_is_given) given.token.normalized = !given.token.special;
  return given;
}

void Reader::merge_special_tokens_map() {
  const std::string file = "special_tokens_map.json";
  Json map = read_object(file);
  if (map.is_null()) return;
  for (auto& [key, value] : map.items()) {
    bool extra = key == "extra_special_tokens";
    if (key == "additional_special_tokens") continue;  // the reference replaces them by the model's control pieces
    if (extra && value.is_array()) {
      Json merged = values_.contains(key) && values_[key].is_array() ? values_[key] : Json::array();
      for (Json& token : value) {
        if (token.is_object()) token["special"] = true;
        if (std::find(merged.begin(), merged.end(), token) == merged.end()) merged.push_back(token);
      }
      values_[key] = merged;
    } else {
      if (value.is_object() && !extra) value["special"] = true;
      values_[key] = value;
    }
  }
}

void Reader::read_added_tokens() {
  auto id_of = [&](const std::string& text, const std::string& file) {
    int64_t id = -1;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (error != std::errc() || end != text.data() + text.size() || id < 0) {
      wrong(file, "\"" + text + "\" is not a token's id");
    }
    return id;
  };
  if (values_.contains("added_tokens_decoder")) {
    const Json& decoder = values_["added_tokens_decoder"];
    if (!decoder.is_object()) wrong(config_name, "\"added_tokens_decoder\" is not an object");
    for (auto& [key, value] : decoder.items()) {
      if (!value.is_object()) wrong(config_name, "\"added_tokens_decoder\" holds something that is not a token");
      decoder_[id_of(key, config_name)] = parse_token(value, config_name, "added_tokens_decoder").token;
    }
    return;
  }
  merge_special_tokens_map();

  const std::string legacy = "added_tokens.json";
  if (Json tokens = read_object(legacy); !tokens.is_null()) {
    auto is_special = [&](const std::string& content) {
      auto same = [&](const Json& token) {
        return (token.is_object() ? token.value("content", Json()) : token) == Json(content);
      };
      for (const char* key : named_tokens) {
        if (values_.contains(key) && same(values_[key])) return true;
      }
      auto extra = values_.find("extra_special_tokens");
      return extra != values_.end() && extra->is_array() && std::any_of(extra->begin(), extra->end(), same);
    };
    for (auto& [content, id] : tokens.items()) {
      if (!id.is_number_integer()) wrong(legacy, "the id of \"" + content + "\" is not an integer");
      AddedToken token{.content = content, .special = is_special(content)};
      token.normalized = !token.special;
      decoder_[id.get<int64_t>()] = token;
    }
  }

  const std::string fast = "tokenizer.json";
  if (Json tokenizer = read_object(fast); !tokenizer.is_null()) {
    auto tokens = tokenizer.find("added_tokens");
    if (tokens == tokenizer.end() || !tokens->is_array()) wrong(fast, "it has no \"added_tokens\"");
    for (const Json& value : *tokens) {
      AddedToken token = parse_token(value, fast, "added_tokens").token;
      auto id = value.is_object() ? value.find("id") : value.end();
      if (id == value.end() || !id->is_number_integer()) wrong(fast, "\"" + token.content + "\" has no id");
      decoder_[id->get<int64_t>()] = token;
    }
  }
}

//! Tokens with names of their own: keys that end in "_token", and `extra_special_tokens` given as an object.
void Reader::collect_model_specific() {
  auto is_named = [](const std::string& key) {
    return std::find(std::begin(named_tokens), std::end(named_tokens), key) != std::end(named_tokens);
  };
  auto set = [&](const std::string& key, const Json& value) {
    GivenToken token = parse_token(value, config_name, key);
    auto same_key = [&](const auto& entry) { return entry.first == key; };
    auto it = std::find_if(model_specific_.begin(), model_specific_.end(), same_key);
    if (it == model_specific_.end()) {
      model_specific_.emplace_back(key, std::move(token));
    } else {
      it->second = std::move(token);
    }
  };
  for (auto& [key, value] : values_.items()) {
    bool token = value.is_string() || (value.is_object() && value.contains("content"));
    if (key.ends_with("_token") && !is_named(key) && token) set(key, value);
  }
  for (const char* key : {"model_specific_special_tokens", "extra_special_tokens"}) {
    auto it = values_.find(key);
    if (it == values_.end() || !it->is_object()) continue;
    for (auto& [name, value] : it->items()) set(name, value);
  }
}

//! The special tokens without a name.
std::vector<GivenToken> Reader::extra_tokens(const SentencePieceModel& model) const {
  // The model's own are the default, with the sentinels, of which they must not hold a part.
  using Type = SentencePieceModel::Type;
  std::vector<GivenToken> tokens;
  int64_t sentinels = 0;
  for (const auto& piece : model.pieces) {
    if (piece.type != Type::control && piece.type != Type::user_defined) continue;
    AddedToken token{.content = piece.text, .special = piece.type == Type::control};
    tokens.push_back({.plain = false, .token = token, .normalized_is_given = true});
    if (piece.text.find("<extra_id_") != std::string::npos) ++sentinels;
  }
  if (sentinels > 0 && extra_ids_ > 0 && sentinels != extra_ids_) {
    wrong(config_name, "\"extra_ids\" is " + std::to_string(extra_ids_) + ", but spiece.model has " +
                           std::to_string(sentinels) + " such pieces");
  }
  for (int64_t i = 0; sentinels == 0 && i < extra_ids_; ++i) {
    AddedToken token{.content = "<extra_id_" + std::to_string(i) + ">", .special = true};
    tokens.push_back({.token = token});
  }
  auto given = values_.find("extra_special_tokens");
  if (given == values_.end() || given->is_object()) return tokens;
  tokens.clear();
  if (given->is_null()) return tokens;
  if (!given->is_array()) wrong(config_name, "\"extra_special_tokens\" is not a list of tokens");
  for (const Json& value : *given) tokens.push_back(parse_token(value, config_name, "extra_special_tokens"));
  return tokens;
}

std::string Reader::named(const char* key, const std::string& absent) const {
  auto it = values_.find(key);
  if (it == values_.end()) return absent;
  return it->is_null() ? std::string() : parse_token(*it, config_name, key).token.content;
}

bool Reader::flag(const char* key) const {
  auto it = values_.find(key);
  if (it == values_.end() || it->is_null()) return false;
  if (!it->is_boolean()) wrong(config_name, "\"" + std::string(key) + "\" is not true or false");
  return it->get<bool>();
}

bool Reader::is_left(const char* key) const {
  auto it = values_.find(key);
  if (it == values_.end()) return false;
  if (*it != "left" && *it != "right") wrong(config_name, "\"" + std::string(key) + "\" is not \"left\" or \"right\"");
  return *it == "left";
}

int64_t Reader::model_max_length() const {
  constexpr int64_t unlimited = std::numeric_limits<int64_t>::max();
  auto it = values_.find("model_max_length");
  if (it == values_.end()) it = values_.find("max_len");
  if (it == values_.end() || it->is_null()) return unlimited;
  // The reference writes 10^30 for "no limit", which no integer here holds.
  double length = it->is_number() ? it->get<double>() : 0;
  if (!(length >= 1)) wrong(config_name, "\"model_max_length\" is not a positive number");
  return length < 9e18 ? static_cast<int64_t>(length) : unlimited;
}

int64_t Reader::read_extra_ids() const {
  constexpr int64_t most = 1'000'000;  // more is no vocabulary, but would fill the memory
  auto it = values_.find("extra_ids");
  if (it == values_.end()) return 100;
  int64_t count = it->is_number_integer() ? it->get<int64_t>() : -1;
  if (count < 0 || count > most) wrong(config_name, "\"extra_ids\" is not a number from 0 to 1000000");
  return count;
}

TokenizerConfig Reader::read(const SentencePieceModel& model) {
  values_ = read_object(config_name);
  if (values_.is_null()) values_ = Json::object();
  // The old name of extra_special_tokens counts where the new one says nothing.
  auto extra = values_.find("extra_special_tokens");
  bool has_extra = extra != values_.end() && !extra->is_null() && !extra->empty();
  if (values_.contains("additional_special_tokens") && !has_extra) {
    values_["extra_special_tokens"] = Json(values_["additional_special_tokens"]);
  }
  read_added_tokens();
  collect_model_specific();
  extra_ids_ = read_extra_ids();

  TokenizerConfig config;
  config.model_max_length = model_max_length();
  config.extra_ids = extra_ids_;
  config.eos_token = named("eos_token", config.eos_token);
  config.unk_token = named("unk_token", config.unk_token);
  config.pad_token = named("pad_token", config.pad_token);
  config.pad_left = is_left("padding_side");
  config.truncate_left = is_left("truncation_side");
  config.split_special_tokens = flag("split_special_tokens");
  config.clean_up_tokenization_spaces = flag("clean_up_tokenization_spaces");
  if (config.eos_token.empty()) wrong(config_name, "\"eos_token\" is empty, but every text ends with it");

  // First the tokens that say their place, in its order; then the named ones and the others, each once.
  std::vector<std::string> known, names;
  for (const auto& [id, token] : decoder_) known.push_back(token.content);
  std::vector<GivenToken> tokens;
  auto offer = [&](const GivenToken& token) {
    if (std::find(known.begin(), known.end(), token.token.content) != known.end()) return;
    if (std::find(tokens.begin(), tokens.end(), token) == tokens.end()) tokens.push_back(token);
  };
  auto offer_named = [&](const GivenToken& token) {
    names.push_back(token.token.content);
    offer(token);
  };
  for (const std::string key : named_tokens) {
    auto it = values_.find(key);
    if (it != values_.end()) {
      if (!it->is_null()) offer_named(parse_token(*it, config_name, key));
    } else if (key == "eos_token" || key == "unk_token" || key == "pad_token") {
      const std::string& absent = key == "eos_token"   ? config.eos_token
                                  : key == "unk_token" ? config.unk_token
                                                       : config.pad_token;
      offer_named({.token = {.content = absent, .special = true}});
    }
  }
  for (const auto& [key, token] : model_specific_) offer_named(token);
  for (const GivenToken& token : extra_tokens(model)) offer(token);

  auto take = [&](GivenToken given) {
    if (!given.token.special && std::find(names.begin(), names.end(), given.token.content) != names.end()) {
      given.token.special = true;
      if (!given.normalized_is_given) given.token.normalized = false;
    }
    config.added_tokens.push_back(given.token);
  };
  for (const auto& [id, token] : decoder_) take({.plain = false, .token = token, .normalized_is_given = true});
  for (const GivenToken& token : tokens) take(token);
  return config;
}

}  // namespace

TokenizerConfig TokenizerConfig::read(const std::filesystem::path& folder, const SentencePieceModel& model) {
  return Reader(folder).read(model);
}

}  // namespace prax::text

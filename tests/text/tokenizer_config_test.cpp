#include "text/tokenizer_config.h"

#include <gtest/gtest.h>

#include <limits>

#include "text/support.h"

namespace prax::text {
namespace {

class TokenizerConfigTest : public ::testing::Test {
protected:
  TokenizerConfig read() const { return TokenizerConfig::read(folder_.path(), model_); }
  TokenizerConfig with(const std::string& config) {
    folder_.write("tokenizer_config.json", config);
    return read();
  }
  void expect_broken(const std::string& file, const std::string& content, const std::string& part) {
    TemporaryFolder folder;
    folder.write(file, content);
    expect_error(ErrorKind::checkpoint, part, [&] { TokenizerConfig::read(folder.path(), model_); });
    expect_error(ErrorKind::checkpoint, file, [&] { TokenizerConfig::read(folder.path(), model_); });
  }
  static std::vector<std::string> contents(const TokenizerConfig& config) {
    std::vector<std::string> out;
    for (const AddedToken& token : config.added_tokens) out.push_back(token.content);
    return out;
  }

  TemporaryFolder folder_;
  SentencePieceModel model_ = SentencePieceModel::parse(model_bytes({{"a", -1.F}}), "x");
};

TEST_F(TokenizerConfigTest, WithoutFilesTheDefaultsOfT5Count) {
  TokenizerConfig config = read();
  EXPECT_EQ(config.model_max_length, std::numeric_limits<int64_t>::max());
  EXPECT_EQ(config.extra_ids, 100);
  EXPECT_EQ(config.eos_token, "</s>");
  EXPECT_EQ(config.unk_token, "<unk>");
  EXPECT_EQ(config.pad_token, "<pad>");
  EXPECT_FALSE(config.pad_left || config.truncate_left || config.split_special_tokens);
  EXPECT_FALSE(config.clean_up_tokenization_spaces);
  EXPECT_EQ(config.added_tokens.size(), 105U);  // three named, two control pieces, 100 sentinels
  EXPECT_EQ(config.added_tokens[0].content, "</s>");
  EXPECT_TRUE(config.added_tokens[0].special);
}

TEST_F(TokenizerConfigTest, ReadsItsKeys) {
  TokenizerConfig config = with(R"({"model_max_length": 512, "extra_ids": 2, "eos_token": {"content": "<end>"},
      "unk_token": "<huh>", "pad_token": null, "padding_side": "left", "truncation_side": "left",
      "split_special_tokens": true, "clean_up_tokenization_spaces": true})");
  EXPECT_EQ(config.model_max_length, 512);
  EXPECT_EQ(config.extra_ids, 2);
  EXPECT_EQ(config.eos_token, "<end>");
  EXPECT_EQ(config.unk_token, "<huh>");
  EXPECT_EQ(config.pad_token, "");
  EXPECT_TRUE(config.pad_left && config.truncate_left && config.split_special_tokens);
  EXPECT_TRUE(config.clean_up_tokenization_spaces);
}

TEST_F(TokenizerConfigTest, NoLimitIsWrittenAsAHugeNumber) {
  EXPECT_EQ(with(R"({"model_max_length": 1000000000000000019884624838656})").model_max_length,
            std::numeric_limits<int64_t>::max());
  EXPECT_EQ(with(R"({"model_max_length": null})").model_max_length, std::numeric_limits<int64_t>::max());
  EXPECT_EQ(with(R"({"max_len": 77})").model_max_length, 77);
}

TEST_F(TokenizerConfigTest, TokensThatSayTheirPlaceComeFirstInItsOrder) {
  TokenizerConfig config = with(R"({"extra_ids": 0, "added_tokens_decoder": {
      "10": {"content": "<b>", "lstrip": true, "special": true}, "9": {"content": "<a>", "single_word": true}}})");
  EXPECT_EQ(contents(config), (std::vector<std::string>{"<a>", "<b>", "</s>", "<unk>", "<pad>", "<pad>", "</s>"}));
  EXPECT_EQ(config.added_tokens[0], (AddedToken{.content = "<a>", .single_word = true, .normalized = true}));
  EXPECT_EQ(config.added_tokens[1], (AddedToken{.content = "<b>", .lstrip = true, .special = true}));
}

TEST_F(TokenizerConfigTest, NamedTokensAreSpecial) {
  auto end = [&](const std::string& token) {
    return with(R"({"extra_ids": 0, "extra_special_tokens": ["<x>"], "eos_token": )" + token + "}").added_tokens;
  };
  EXPECT_EQ(end(R"("<end>")")[0], (AddedToken{.content = "<end>", .special = true}));
  EXPECT_EQ(end(R"({"content": "<end>"})")[0], (AddedToken{.content = "<end>", .special = true}));
  EXPECT_EQ(end(R"({"content": "<end>", "special": false, "normalized": true})")[0],
            (AddedToken{.content = "<end>", .normalized = true, .special = true}));
  EXPECT_EQ(end(R"("<end>")").back(), (AddedToken{.content = "<x>", .special = true}));
}

TEST_F(TokenizerConfigTest, SpecialTokensMapAndAddedTokensCountOnlyWithoutADecoder) {
  folder_.write("special_tokens_map.json", R"({"eos_token": "<end>"})");
  folder_.write("added_tokens.json", R"({"kite": 5, "<end>": 4})");
  TokenizerConfig config = with(R"({"extra_ids": 0})");
  EXPECT_EQ(config.eos_token, "<end>");
  EXPECT_EQ(contents(config), (std::vector<std::string>{"<end>", "kite", "<unk>", "<pad>", "<pad>", "</s>"}));
  EXPECT_TRUE(config.added_tokens[0].special);
  EXPECT_FALSE(config.added_tokens[1].special);
  EXPECT_TRUE(config.added_tokens[1].normalized);

  config = with(R"({"extra_ids": 0, "added_tokens_decoder": {}})");
  EXPECT_EQ(config.eos_token, "</s>");
}

TEST_F(TokenizerConfigTest, TokensOfTokenizerJsonCountToo) {
  folder_.write("tokenizer.json", R"({"added_tokens": [{"id": 4, "content": "<x>", "rstrip": true}]})");
  TokenizerConfig config = with(R"({"extra_ids": 0})");
  EXPECT_EQ(config.added_tokens[0], (AddedToken{.content = "<x>", .rstrip = true, .normalized = true}));
}

TEST_F(TokenizerConfigTest, BrokenFilesAreErrors) {
  const std::string config = "tokenizer_config.json";
  std::filesystem::create_directory(folder_ / "added_tokens.json");
  expect_error(ErrorKind::checkpoint, "cannot be read as JSON", [&] { read(); });
  for (const char* file : {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json"}) {
    expect_broken(file, "{\"a\": ", "cannot be read as JSON");
    expect_broken(file, "", "cannot be read as JSON");
    expect_broken(file, "[1]", "not a JSON object");
  }
  expect_broken(config, R"({"extra_ids": -1})", "extra_ids");
  expect_broken(config, R"({"extra_ids": 1e9})", "extra_ids");
  expect_broken(config, R"({"extra_ids": 99999999999})", "extra_ids");
  expect_broken(config, R"({"model_max_length": 0})", "model_max_length");
  expect_broken(config, R"({"model_max_length": "512"})", "model_max_length");
  expect_broken(config, R"({"eos_token": 3})", "eos_token");
  expect_broken(config, R"({"eos_token": null})", "eos_token");
  expect_broken(config, R"({"pad_token": {"text": "<pad>"}})", "pad_token");
  expect_broken(config, R"({"padding_side": "up"})", "padding_side");
  expect_broken(config, R"({"truncation_side": 1})", "truncation_side");
  expect_broken(config, R"({"split_special_tokens": "yes"})", "split_special_tokens");
  expect_broken(config, R"({"extra_special_tokens": 3})", "extra_special_tokens");
  expect_broken(config, R"({"extra_special_tokens": [3]})", "extra_special_tokens");
  expect_broken(config, R"({"added_tokens_decoder": []})", "added_tokens_decoder");
  expect_broken(config, R"({"added_tokens_decoder": {"x": {"content": "a"}}})", "not a token's id");
  expect_broken(config, R"({"added_tokens_decoder": {"-3": {"content": "a"}}})", "not a token's id");
  expect_broken(config, R"({"added_tokens_decoder": {"3": "a"}})", "not a token");
  expect_broken(config, R"({"added_tokens_decoder": {"3": {"content": "a", "lstrip": 1}}})", "lstrip");
  expect_broken("added_tokens.json", R"({"a": "b"})", "not an integer");
  expect_broken("tokenizer.json", "{}", "added_tokens");
  expect_broken("tokenizer.json", R"({"added_tokens": [{"content": "a"}]})", "has no id");
}

TEST_F(TokenizerConfigTest, SentinelsInTheModelMustBeAll) {
  using Type = SentencePieceModel::Type;
  model_.pieces.push_back({"<extra_id_0>", 0, Type::user_defined});
  expect_broken("tokenizer_config.json", R"({"extra_ids": 2})", "extra_ids");
  EXPECT_EQ(with(R"({"extra_ids": 1})").extra_ids, 1);
}

}  // namespace
}  // namespace prax::text

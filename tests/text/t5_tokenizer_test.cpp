#include "text/t5_tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>

#include "text/support.h"

namespace prax::text {
namespace {

using Ids = std::vector<int64_t>;

//! Everything that the reference says of a tokenizer: an entry of tests/data/tokenizer/*.json.
void expect_agreement(const T5Tokenizer& tokenizer, const Json& expected, int64_t max_length) {
  EXPECT_EQ(tokenizer.vocab_size(), expected["size"]);
  EXPECT_EQ(tokenizer.eos_id(), expected["eos"]);
  EXPECT_EQ(tokenizer.pad_id(), expected["pad"]);
  EXPECT_EQ(tokenizer.unk_id(), expected["unk"]);
  if (expected["unlimited"]) {
    EXPECT_EQ(tokenizer.model_max_length(), std::numeric_limits<int64_t>::max());
  } else {
    EXPECT_EQ(tokenizer.model_max_length(), expected["model_max_length"]);
  }
  ASSERT_GE(expected["texts"].size(), 10U);
  for (const Json& entry : expected["texts"]) {
    SCOPED_TRACE(entry["text"].dump(-1, ' ', true));
    std::string text = entry["text"];
    T5Tokenizer::Encoding whole = tokenizer.encode(text);
    EXPECT_EQ(whole.ids, entry["ids"].get<Ids>());
    EXPECT_EQ(whole.mask, Ids(whole.ids.size(), 1));
    EXPECT_EQ(whole.truncated, 0);
    T5Tokenizer::Encoding cut = tokenizer.encode(text, max_length);
    EXPECT_EQ(cut.ids, entry["padded"].get<Ids>());
    EXPECT_EQ(cut.mask, entry["mask"].get<Ids>());
    EXPECT_EQ(cut.truncated, std::max<int64_t>(std::ssize(whole.ids) - max_length, 0));
    EXPECT_EQ(tokenizer.decode(whole.ids), entry["decoded"].get<std::string>());
  }
}

TEST(T5Tokenizer, AgreesWithTheReferenceCase) {
  T5Tokenizer tokenizer = T5Tokenizer::load(golden_folder());
  Json golden = read_json(data_folder() / "cases/tokenizer_t5/case.json");
  ASSERT_GE(golden["texts"].size(), 20U);
  for (const Json& entry : golden["texts"]) {
    std::string text = entry["text"];
    EXPECT_EQ(tokenizer.encode(text).ids, entry["ids"].get<Ids>()) << text;
    EXPECT_EQ(tokenizer.encode(text, 24).ids, entry["padded_24"].get<Ids>()) << text;
  }
}

TEST(T5Tokenizer, AgreesOnTrickyTexts) {
  Json table = read_json(data_folder() / "tokenizer/texts.json");
  ASSERT_EQ(table["tokenizers"].size(), 2U);
  for (const Json& entry : table["tokenizers"]) {
    SCOPED_TRACE(entry["folder"].get<std::string>());
    std::filesystem::path folder = std::filesystem::path(PRAX_SOURCE_DIR) / entry["folder"].get<std::string>();
    expect_agreement(T5Tokenizer::load(folder), entry, table["max_length"]);
  }
}

TEST(T5Tokenizer, AgreesOnConfigurations) {
  Json table = read_json(data_folder() / "tokenizer/configurations.json");
  ASSERT_GE(table["configurations"].size(), 10U);
  const std::string model = read_bytes(golden_folder() / "spiece.model");
  for (const Json& entry : table["configurations"]) {
    SCOPED_TRACE(entry["name"].get<std::string>());
    TemporaryFolder folder;
    folder.write("spiece.model", model);
    for (const auto& [file, content] : entry["files"].items()) folder.write(file, content.dump());
    expect_agreement(T5Tokenizer::load(folder.path()), entry, table["max_length"]);
  }
}

TEST(T5Tokenizer, CutsAndPadsWithTheEndToken) {
  T5Tokenizer tokenizer = T5Tokenizer::load(nano_folder());
  Ids ids = tokenizer.encode("red sea").ids;
  int64_t n = std::ssize(ids);
  ASSERT_GE(n, 2);
  EXPECT_EQ(ids.back(), tokenizer.eos_id());
  T5Tokenizer::Encoding same = tokenizer.encode("red sea", n);
  EXPECT_EQ(same.ids, ids);
  EXPECT_EQ(same.truncated, 0);
  T5Tokenizer::Encoding one_less = tokenizer.encode("red sea", n - 1);
  EXPECT_EQ(one_less.ids.back(), tokenizer.eos_id());
  EXPECT_EQ(std::ssize(one_less.ids), n - 1);
  EXPECT_EQ(one_less.truncated, 1);
  T5Tokenizer::Encoding padded = tokenizer.encode("red sea", n + 1);
  EXPECT_EQ(padded.ids.back(), tokenizer.pad_id());
  EXPECT_EQ(padded.mask.back(), 0);
  EXPECT_EQ(padded.mask[static_cast<size_t>(n) - 1], 1);
  EXPECT_EQ(tokenizer.encode("red sea", 1).ids, (Ids{tokenizer.eos_id()}));
  EXPECT_EQ(tokenizer.encode("", 0).ids, (Ids{tokenizer.eos_id()}));
}

TEST(T5Tokenizer, NoPieceReachesOverAWordsStart) {
  TemporaryFolder folder;
  folder.write("spiece.model", model_bytes({{"\u2581", -1.F}, {"a", -1.F}, {"a\u2581a", -0.1F}}));
  T5Tokenizer tokenizer = T5Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer.encode("a\u2581a").ids, (Ids{3, 4, 3, 4, 1}));
  EXPECT_EQ(tokenizer.encode("\u2581a\u2581\u2581a").ids, (Ids{3, 4, 3, 3, 4, 1}));
}

TEST(T5Tokenizer, InvalidTextCountsAsReplacementCharacters) {
  T5Tokenizer tokenizer = T5Tokenizer::load(golden_folder());
  EXPECT_EQ(tokenizer.encode("sea \xFF\xC3 red").ids, tokenizer.encode("sea \uFFFD\uFFFD red").ids);
  EXPECT_EQ(tokenizer.encode("sea\xE2\x98").ids, tokenizer.encode("sea\uFFFD").ids);
  for (int i = 0; i < 2000; ++i) {  // any bytes are a text
    std::string bytes;
    for (int n = 0; n < 20; ++n) bytes += static_cast<char>((i * 7919 + n * n * 104729) >> 4);
    EXPECT_EQ(tokenizer.encode(bytes, 8).ids.size(), 8U);
  }
}

TEST(T5Tokenizer, FindsAndShowsTokens) {
  T5Tokenizer tokenizer = T5Tokenizer::load(golden_folder());
  EXPECT_EQ(tokenizer.id_of("</s>"), tokenizer.eos_id());
  EXPECT_EQ(tokenizer.id_of("<extra_id_0>"), tokenizer.vocab_size() - 1);
  EXPECT_EQ(tokenizer.id_of("no such token"), tokenizer.unk_id());
  EXPECT_EQ(tokenizer.decode(Ids{}), "");
  EXPECT_EQ(tokenizer.decode(Ids{-1, 1000000, tokenizer.eos_id()}), "</s>");
}

TEST(T5Tokenizer, LongTextsTakeLittleTime) {
  T5Tokenizer tokenizer = T5Tokenizer::load(golden_folder());
  auto repeat = [](const std::string& part) {
    std::string text;
    while (text.size() < 100'000) text += part;
    return text;
  };
  for (const char* part : {"a red sailboat drifts left, ", "a", " ", "\u0301", "\u2603", "</s>", "<extra_id_", "\u2581",
                           "\U0001F469\u200D", "\U0001F1E9", "\xFF"}) {
    std::string text = repeat(part);
    auto start = std::chrono::steady_clock::now();
    T5Tokenizer::Encoding cut = tokenizer.encode(text, 128);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1)) << part;
    EXPECT_EQ(cut.ids.size(), 128U);
    EXPECT_EQ(cut.truncated, std::max<int64_t>(std::ssize(tokenizer.encode(text).ids) - 128, 0)) << part;
  }
  EXPECT_GT(tokenizer.encode(repeat("a red sea "), 128).truncated, 10'000);
}

TEST(T5Tokenizer, BrokenFoldersAreErrors) {
  auto expect_broken = [](const TemporaryFolder& folder, const std::string& part) {
    expect_error(ErrorKind::checkpoint, part, [&] { T5Tokenizer::load(folder.path()); });
  };
  TemporaryFolder folder;
  expect_broken(folder, "has no spiece.model");
  folder.write("tokenizer.json", R"({"added_tokens": []})");
  expect_broken(folder, "only a tokenizer.json");
  const auto model = folder.write("spiece.model", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
  expect_broken(folder, "git-lfs");
  expect_broken(folder, model.string());
  folder.write("spiece.model", piece_field({"a", 0, SentencePieceModel::Type::normal}));
  folder.write("tokenizer_config.json", R"({"extra_ids": 0})");
  expect_broken(folder, "fewer than three pieces");
  folder.write("spiece.model", model_bytes({{"a", -1.F}}, "broken rules"));
  expect_broken(folder, "normaliser");
  folder.write("spiece.model", model_bytes({{"a", -1.F}}));
  EXPECT_EQ(T5Tokenizer::load(folder.path()).vocab_size(), 4);
  folder.write("tokenizer_config.json", "{\"extra_ids\": ");
  expect_broken(folder, "tokenizer_config.json");
}

TEST(T5Tokenizer, ImpossibleLengthsAreErrors) {
  T5Tokenizer tokenizer = T5Tokenizer::load(nano_folder());
  expect_error(ErrorKind::usage, "-1", [&] { tokenizer.encode("a", -1); });
  TemporaryFolder folder;
  folder.write("spiece.model", model_bytes({{"\u2581", -1.F}, {"a", -1.F}}));
  folder.write("tokenizer_config.json", R"({"extra_ids": 0, "pad_token": null})");
  T5Tokenizer without = T5Tokenizer::load(folder.path());
  EXPECT_EQ(without.pad_id(), -1);
  EXPECT_EQ(without.encode("a").ids, (Ids{3, 4, 1}));
  expect_error(ErrorKind::checkpoint, "pad_token", [&] { without.encode("a", 8); });
}

}  // namespace
}  // namespace prax::text

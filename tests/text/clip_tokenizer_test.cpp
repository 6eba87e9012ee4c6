#include "text/clip_tokenizer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace prax::text {
namespace {

namespace fs = std::filesystem;

const fs::path cases = fs::path(PRAX_TEST_DATA) / "cases" / "pyramid_flow";
const fs::path tokenizer = cases / "checkpoint_flux" / "tokenizer";

TEST(ClipTokenizer, GivesTheReferencesIds) {
  std::ifstream file(fs::path(PRAX_TEST_DATA) / "tokenizer" / "clip.json");
  const auto list = nlohmann::json::parse(file);
  ASSERT_FALSE(list.empty());
  for (const auto& entry : list) {
    const auto t = ClipTokenizer::load(cases / entry["tokenizer"].get<std::string>());
    const auto text = entry["text"].get<std::string>();
    EXPECT_EQ(t.encode(text).ids, entry["ids"].get<std::vector<int64_t>>()) << entry["text"];
    EXPECT_EQ(t.encode(text, 12).ids, entry["padded"].get<std::vector<int64_t>>()) << entry["text"];
  }
}

TEST(ClipTokenizer, SaysWhatItKnows) {
  const auto t = ClipTokenizer::load(tokenizer);
  EXPECT_EQ(t.model_max_length(), 77);
  EXPECT_EQ(t.pad_id(), t.end_id());
  EXPECT_EQ(ClipTokenizer::load(cases / "checkpoint_mmdit" / "tokenizer_2").pad_id(), 0);
  const auto e = t.encode("word word word", 4);
  EXPECT_EQ(e.tokens, 4);
  EXPECT_GT(e.truncated, 0);
  EXPECT_EQ(e.ids.front(), t.start_id());
  EXPECT_EQ(e.ids.back(), t.end_id());
  EXPECT_EQ(t.encode("a", 9).tokens, 3);
  EXPECT_EQ(t.encode("a\xff", 0).ids, t.encode("a\xEF\xBF\xBD", 0).ids);
  EXPECT_THROW(t.encode("a", 1), Error);
}

class BrokenClipTokenizer : public testing::Test {
protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("prax_clip_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::copy(tokenizer, folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) { std::ofstream(folder_ / name) << text; }
  void expect_refused(const std::string& said) {
    try {
      ClipTokenizer::load(folder_);
      ADD_FAILURE() << "accepted where it should say: " << said;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::checkpoint);
      EXPECT_NE(std::string(e.what()).find(said), std::string::npos) << e.what();
      EXPECT_FALSE(e.hint().empty());
    }
  }
  fs::path folder_;
};

TEST_F(BrokenClipTokenizer, SaysWhatIsBroken) {
  write("merges.txt", "#version\na b c\n");
  expect_refused("no pair");
  write("merges.txt", "#version\nab\n");
  expect_refused("no pair");
  write("merges.txt", "#version\n\xff \xff\n");
  expect_refused("UTF-8");
  fs::remove(folder_ / "merges.txt");
  expect_refused("merges.txt");
}

TEST_F(BrokenClipTokenizer, SaysWhichVocabularyIsBroken) {
  write("vocab.json", "[1, 2]");
  expect_refused("no vocabulary");
  write("vocab.json", R"({"a": "b"})");
  expect_refused("no id");
  write("vocab.json", R"({"a": -1})");
  expect_refused("no id");
  write("vocab.json", "{");
  expect_refused("vocab.json");
  fs::remove(folder_ / "vocab.json");
  expect_refused("vocab.json");
}

TEST_F(BrokenClipTokenizer, SaysWhichSettingIsBroken) {
  write("tokenizer_config.json", R"({"padding_side": "left"})");
  expect_refused("padding_side");
  write("tokenizer_config.json", R"({"pad_token": 3})");
  expect_refused("pad_token");
  write("tokenizer_config.json", R"({"pad_token": ""})");
  expect_refused("empty");
  write("tokenizer_config.json", R"({"added_tokens_decoder": {"x": "y"}})");
  expect_refused("id");
  write("tokenizer_config.json", R"({"model_max_length": -3})");
  expect_refused("model_max_length");
}

TEST_F(BrokenClipTokenizer, DoesWithoutSettings) {
  fs::remove(folder_ / "tokenizer_config.json");
  fs::remove(folder_ / "special_tokens_map.json");
  const auto t = ClipTokenizer::load(folder_);
  EXPECT_EQ(t.model_max_length(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(t.encode("a fox").ids, ClipTokenizer::load(tokenizer).encode("a fox").ids);
}

}  // namespace
}  // namespace prax::text

#include "checkpoint/config.h"

#include <cmath>

#include "checkpoint/json_text.h"
#include "checkpoint/support.h"

namespace prax::checkpoint {
namespace {

Config config(const std::string& text) { return Config(parse_json(text, "vae/config.json"), "vae/config.json"); }

template <typename T>
void expect_wrong(const std::string& value, const std::string& expected) {
  const Config c = config("{\"key\": " + value + "}");
  expect_error(ErrorKind::checkpoint, "'key' in 'vae/config.json'", [&] { c.get<T>("key", T{}); });
  expect_error(ErrorKind::checkpoint, expected + " is needed", [&] { c.get<T>("key", T{}); });
}

TEST(Config, ReadsEachType) {
  const Config c = config(R"({"i": 28, "f": 1e-6, "s": "gelu", "b": true, "list": [1, 2.0, 3], "bools": [true, false],
                              "texts": ["a", "b"], "nested": [[1], [2, 3]], "n": -5, "whole": 2})");
  EXPECT_EQ(c.get<int>("i", 0), 28);
  EXPECT_EQ(c.get<int64_t>("n", 0), -5);
  EXPECT_DOUBLE_EQ(c.get<double>("f", 0), 1e-6);
  EXPECT_FLOAT_EQ(c.get<float>("whole", 0), 2.0f);
  EXPECT_EQ(c.get<std::string>("s", ""), "gelu");
  EXPECT_TRUE(c.get<bool>("b", false));
  EXPECT_EQ(c.get<std::vector<int64_t>>("list", {}), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(c.get<std::vector<bool>>("bools", {}), (std::vector<bool>{true, false}));
  EXPECT_EQ(c.get<std::vector<std::string>>("texts", {}), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(c.get<std::vector<std::vector<int>>>("nested", {}), (std::vector<std::vector<int>>{{1}, {2, 3}}));
}

TEST(Config, AbsentAndNullGiveTheDefault) {
  const Config c = config(R"({"null": null, "zero": 0})");
  EXPECT_EQ(c.get<int>("null", 7), 7);
  EXPECT_EQ(c.get<int>("absent", 8), 8);
  EXPECT_EQ(c.get<int>("zero", 9), 0);
  EXPECT_FALSE(c.has("null"));
  EXPECT_FALSE(c.has("absent"));
  EXPECT_TRUE(c.has("zero"));
  EXPECT_EQ(Config().get<int>("any", 3), 3);
}

TEST(Config, RefusesSilentConversions) {
  EXPECT_EQ(config(R"({"key": 4.0})").get<int>("key", 0), 4);
  expect_wrong<int>("4.5", "a whole number");
  expect_wrong<int>("true", "a whole number");
  expect_wrong<int>("\"4\"", "a whole number");
  expect_wrong<int>("[4]", "a whole number");
  expect_wrong<int>("3000000000", "a whole number");
  expect_wrong<int64_t>("9223372036854775808", "a whole number");
  expect_wrong<int64_t>("1e30", "a whole number");
  expect_wrong<uint32_t>("-1", "a whole number");
  expect_wrong<bool>("1", "true or false");
  expect_wrong<double>("true", "a number");
  expect_wrong<double>("\"1\"", "a number");
  expect_wrong<std::string>("1", "a string");
  expect_wrong<std::vector<int64_t>>("4", "a list of whole numbers");
  expect_wrong<std::vector<int64_t>>("[1, true]", "a list of whole numbers");
  expect_wrong<std::vector<int64_t>>("[1, null]", "a list of whole numbers");
  expect_wrong<std::vector<bool>>("[0]", "a list of booleans");
  expect_wrong<std::vector<std::string>>("[\"a\", 1]", "a list of strings");
  expect_wrong<std::vector<std::vector<int>>>("[1]", "a list of lists of whole numbers");
}

TEST(Config, ReadsPythonsNonFiniteNumbers) {
  const Config c = config(R"({"low": -Infinity, "high": Infinity, "nan": NaN})");
  EXPECT_EQ(c.get<double>("low", 0), -INFINITY);
  EXPECT_EQ(c.get<float>("high", 0), INFINITY);
  EXPECT_TRUE(std::isnan(c.get<double>("nan", 0)));
  expect_error(ErrorKind::checkpoint, "whole number", [&] { c.get<int>("high", 0); });
}

TEST(Config, LongOrBrokenValuesStayReadable) {
  const Config c(nlohmann::json{{"key", std::string(5000, 'x')}, {"odd", "\xff"}}, "c");
  expect_error(ErrorKind::checkpoint, "xxx...", [&] { c.get<int>("key", 0); });
  expect_error(ErrorKind::checkpoint, "'odd' in 'c'", [&] { c.get<int>("odd", 0); });
}

TEST(Config, ClassName) {
  EXPECT_EQ(config(R"({"_class_name": "AutoencoderKLLTXVideo"})").class_name(), "AutoencoderKLLTXVideo");
  EXPECT_EQ(config(R"({"architectures": ["T5EncoderModel"]})").class_name(), "T5EncoderModel");
  EXPECT_EQ(config(R"({"architectures": null})").class_name(), "");
  EXPECT_EQ(config("{}").class_name(), "");
  expect_error(ErrorKind::checkpoint, "_class_name", [] { config(R"({"_class_name": 3})").class_name(); });
}

TEST(Config, MustBeAnObject) {
  expect_error(ErrorKind::checkpoint, "not a JSON object but array", [] { config("[1]"); });
  TemporaryFolder folder;
  expect_error(ErrorKind::checkpoint, "config.json", [&] { Config::read(folder.write("config.json", "3")); });
  EXPECT_EQ(Config::read(folder.write("ok.json", R"({"a": 2})")).get<int>("a", 0), 2);
}

TEST(Config, ReadsPublishedFiles) {
  const std::filesystem::path checkpoint = PRAX_TEST_DATA "/cases/ltx_090_t2v/checkpoint";
  const Config vae = Config::read(checkpoint / "vae/config.json");
  EXPECT_EQ(vae.class_name(), "AutoencoderKLLTXVideo");
  EXPECT_EQ(vae.get<std::vector<int64_t>>("block_out_channels", {}), (std::vector<int64_t>{8, 16, 16, 16}));
  EXPECT_EQ(vae.get<int64_t>("spatial_compression_ratio", 32), 32);
  EXPECT_EQ(Config::read(checkpoint / "text_encoder/config.json").class_name(), "T5EncoderModel");
}

}  // namespace
}  // namespace prax::checkpoint

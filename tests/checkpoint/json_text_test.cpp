#include "checkpoint/json_text.h"

#include <sys/stat.h>

#include "checkpoint/support.h"

namespace prax::checkpoint {
namespace {

TEST(JsonText, QuotesEscapeAndCut) {
  EXPECT_EQ(in_quotes("vae"), "'vae'");
  EXPECT_EQ(in_quotes("a\nb\x7f"), "'a\\x0ab\\x7f'");
  EXPECT_EQ(in_quotes("abcdef", 3), "'abc...'");
}

TEST(JsonText, ErrorsSayLineAndColumn) {
  expect_error(ErrorKind::checkpoint, "line 3, column 8", [] { parse_json("{\n\"a\": 1,\n  \"b\": }\n", "x.json"); });
  expect_error(ErrorKind::checkpoint, "x.json", [] { parse_json("{\"a\": 1", "x.json"); });
  expect_error(ErrorKind::checkpoint, "not valid JSON", [] { parse_json("{\"a\": 1} x", "x.json"); });
  expect_error(ErrorKind::checkpoint, "not valid JSON", [] { parse_json("{\"a\": \"\xff\"}", "x.json"); });
  expect_error(ErrorKind::checkpoint, "not valid JSON", [] { parse_json("{\"a\": 1e999}", "x.json"); });
  expect_error(ErrorKind::checkpoint, "NUL byte", [] { parse_json(std::string("{}\0{", 4), "x.json"); });
}

TEST(JsonText, LongGarbageStaysAShortMessage) {
  try {
    parse_json("\"" + std::string(100000, 'x'), "x.json");
    FAIL();
  } catch (const Error& error) {
    EXPECT_LT(std::string(error.what()).size(), 500u);
  }
}

TEST(JsonText, PythonsConstantsBecomeStrings) {
  const auto json = parse_json(R"({"a": -Infinity, "b": [NaN, Infinity], "c": "NaN \" Infinity"})", "x");
  EXPECT_EQ(json["a"], "-Infinity");
  EXPECT_EQ(json["b"][0], "NaN");
  EXPECT_EQ(json["b"][1], "Infinity");
  EXPECT_EQ(json["c"], "NaN \" Infinity");
  expect_error(ErrorKind::checkpoint, "not valid JSON", [] { parse_json("{\"a\": NaNa}", "x"); });
}

TEST(JsonText, RefusesDeepNesting) {
  EXPECT_NO_THROW(parse_json(std::string(60, '[') + std::string(60, ']'), "x"));
  expect_error(ErrorKind::checkpoint, "nests deeper", [] { parse_json(std::string(5000000, '['), "x"); });
}

TEST(JsonText, ReadsFilesAndNamesThem) {
  TemporaryFolder folder;
  EXPECT_EQ(read_json(folder.write("a.json", "{\"k\": 1}"))["k"], 1);
  expect_error(ErrorKind::checkpoint, "none.json' is missing", [&] { read_json(folder / "none.json"); });
  expect_error(ErrorKind::checkpoint, "not a regular file", [&] { read_json(folder.path()); });
  expect_error(ErrorKind::checkpoint, "is empty", [&] { read_json(folder.write("b.json", "")); });
  expect_error(ErrorKind::checkpoint, "git lfs pull",
               [&] { read_json(folder.write("c.json", "version https://git-lfs.github.com/spec/v1\n")); });
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  expect_error(ErrorKind::checkpoint, "not a regular file", [&] { read_json(folder / "pipe"); });
  const auto large = folder.write("large.json", "{");
  std::filesystem::resize_file(large, uintmax_t{1} << 33);
  expect_error(ErrorKind::checkpoint, "too many", [&] { read_json(large); });
}

}  // namespace
}  // namespace prax::checkpoint

#include "checkpoint/safetensors_header.h"

#include "checkpoint/support.h"

namespace prax::checkpoint {
namespace {

SafetensorsHeader parse(const std::string& json, uint64_t bytes) { return parse_safetensors_header(json, bytes, "f"); }

void refuses(const std::string& part, const std::string& json, uint64_t bytes = 0) {
  SCOPED_TRACE(json.substr(0, 200));
  expect_error(ErrorKind::checkpoint, part, [&] { parse(json, bytes); });
  expect_error(ErrorKind::checkpoint, "'f': ", [&] { parse(json, bytes); });
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"x":)" + entry(dtype, shape, offsets) + "}";
}

TEST(SafetensorsHeader, Sound) {
  const auto header = parse(R"({"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
                            R"("__metadata__":{"format":"pt","n":""},)"
                            R"("a":{"data_offsets":[0,4],"shape":[],"dtype":"F32"},)"
                            R"("empty":{"dtype":"F32","shape":[0,5],"data_offsets":[4,4]}}    )",
                            16);
  ASSERT_EQ(header.entries.size(), 3u);
  EXPECT_EQ(header.entries.at("b").shape, (Shape{2, 3}));
  EXPECT_EQ(header.entries.at("b").dtype, DType::bf16);
  EXPECT_EQ(header.entries.at("b").begin, 4u);
  EXPECT_EQ(header.entries.at("b").end, 16u);
  EXPECT_EQ(header.entries.at("a").shape, Shape{});
  EXPECT_EQ(header.metadata, (std::map<std::string, std::string>{{"format", "pt"}, {"n", ""}}));
  EXPECT_TRUE(parse("{}", 0).entries.empty());
}

TEST(SafetensorsHeader, UnknownKeysOfAnEntryAreSkipped) {
  const auto header = parse(
      R"({"x":{"note":{"shape":[9],"deep":[[{"dtype":"?"}]]},"dtype":"U8","more":[1,{}],"shape":[2],"data_offsets":[0,2],"z":null}})",
      2);
  EXPECT_EQ(header.entries.at("x").shape, Shape{2});
}

TEST(SafetensorsHeader, NotJsonOrNotAnObject) {
  refuses("not valid JSON", "");
  refuses("not valid JSON", "{");
  refuses("not valid JSON", "{} x");
  refuses("not valid JSON", "{\"x\": NaN}");
  refuses("not valid JSON", "{\"\xff\": 1}");
  refuses("not valid JSON", std::string("{}\0", 3));
  refuses("instead of a JSON object", "[]");
  refuses("instead of a JSON object", "3");
  refuses("instead of a JSON object", "\"text\"");
  refuses("instead of a JSON object", "null");
  refuses("instead of a JSON object", std::string(1000000, '['));
  refuses("deeply nested", "{\"x\":{\"y\":" + std::string(1000000, '['));
  std::string objects = "{\"x\":";
  for (int i = 0; i < 100; ++i) objects += "{\"y\":";
  refuses("deeply nested", objects);
}

TEST(SafetensorsHeader, WrongEntries) {
  refuses("instead of an object", R"({"x": 3})");
  refuses("instead of an object", R"({"x": [3]})");
  refuses("instead of text", R"({"__metadata__": {"a": 1}})");
  refuses("instead of text", R"({"__metadata__": {"a": {}}})");
  refuses("__metadata__", R"({"__metadata__": []})");
  refuses("'x' has no dtype", R"({"x": {"shape": [1], "data_offsets": [0, 4]}})", 4);
  refuses("'x' has no shape", R"({"x": {"dtype": "F32", "data_offsets": [0, 4]}})", 4);
  refuses("'x' has no data_offsets", R"({"x": {"dtype": "F32", "shape": [1]}})", 4);
  refuses("dtype of tensor 'x'", R"({"x": {"dtype": 5, "shape": [1], "data_offsets": [0, 4]}})", 4);
  refuses("dtype of tensor 'x'", R"({"x": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}})", 4);
  refuses("shape of tensor 'x'", R"({"x": {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]}})", 4);
  refuses("shape of tensor 'x'", R"({"x": {"dtype": "F32", "shape": {"a": 1}, "data_offsets": [0, 4]}})", 4);
  refuses("shape of tensor 'x'", R"({"x": {"dtype": "F32", "shape": null, "data_offsets": [0, 4]}})", 4);
}

TEST(SafetensorsHeader, Duplicates) {
  const std::string e = entry("U8", "[1]", "[0,1]");
  refuses("names 'x' twice", "{\"x\":" + e + ",\"x\":" + e + "}", 1);
  refuses("__metadata__' twice", R"({"__metadata__":{},"__metadata__":{}})");
  refuses("the key 'a' twice", R"({"__metadata__":{"a":"1","a":"2"}})");
  refuses("has shape twice", R"({"x":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}})", 1);
  refuses("has dtype twice", R"({"x":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1);
}

TEST(SafetensorsHeader, UnknownTypeIsNamedWithTheTensor) {
  refuses("tensor 'x' has elements of type 'U16'", one("U16", "[1]", "[0,2]"), 2);
  refuses("BF16", one("F4", "[1]", "[0,1]"), 1);
  refuses("type 'f32'", one("f32", "[1]", "[0,4]"), 4);
}

TEST(SafetensorsHeader, Shapes) {
  refuses("holds -1", one("U8", "[-1]", "[0,1]"), 1);
  refuses("holds '1.5'", one("U8", "[1.5]", "[0,1]"), 1);
  refuses("holds '1.0'", one("U8", "[1.0]", "[0,1]"), 1);
  refuses("instead of a whole number", one("U8", "[99999999999999999999]", "[0,1]"), 1);
  refuses("extent of 18446744073709551615", one("U8", "[18446744073709551615]", "[0,1]"), 1);
  refuses("holds true", one("U8", "[true]", "[0,1]"), 1);
  refuses("holds a list", one("U8", "[[1]]", "[0,1]"), 1);
  refuses("holds the text", one("U8", "[\"1\"]", "[0,1]"), 1);
  refuses("more than memory can hold", one("F32", "[4611686018427387904,4]", "[0,0]"));
  refuses("more than memory can hold", one("F32", "[4611686018427387904]", "[0,0]"));
  refuses("more than memory can hold", one("F32", "[0,4611686018427387904,4]", "[0,0]"));
  std::string ones = "[1";
  for (int i = 0; i < 64; ++i) ones += ",1";
  refuses("more than 64 dimensions", one("U8", ones + "]", "[0,1]"), 1);
}

TEST(SafetensorsHeader, Offsets) {
  refuses("run backwards", one("U8", "[1]", "[1,0]"), 1);
  refuses("has 1 numbers", one("U8", "[1]", "[1]"), 1);
  refuses("has 0 numbers", one("U8", "[1]", "[]"), 1);
  refuses("more than two", one("U8", "[1]", "[0,1,2]"), 1);
  refuses("holds -1", one("U8", "[1]", "[-1,0]"), 1);
  refuses("needs 8 bytes", one("F32", "[2]", "[0,4]"), 4);
  refuses("needs 8 bytes", one("F32", "[2]", "[0,16]"), 16);
  refuses("4 of the 8 bytes of its tensors are missing", one("F32", "[2]", "[0,8]"), 4);
  refuses("did not finish", one("F32", "[2]", "[0,8]"), 4);
  refuses("3 bytes at the end", one("F32", "[2]", "[0,8]"), 11);
  refuses("4 bytes before tensor 'x'", one("F32", "[1]", "[4,8]"), 8);
  refuses("bytes before tensor 'x'", one("U8", "[1]", "[18446744073709551614,18446744073709551615]"), 8);
  const auto two = [](const std::string& a, const std::string& b) {
    return R"({"a":)" + entry("U8", "[2]", a) + R"(,"b":)" + entry("U8", "[2]", b) + "}";
  };
  EXPECT_NO_THROW(parse(two("[0,2]", "[2,4]"), 4));
  EXPECT_NO_THROW(parse(two("[2,4]", "[0,2]"), 4));
  refuses("overlaps", two("[0,2]", "[1,3]"), 3);
  refuses("overlaps", two("[0,2]", "[0,2]"), 2);
  refuses("1 bytes before tensor 'b'", two("[0,2]", "[3,5]"), 5);
}

TEST(SafetensorsHeader, NamesInMessagesAreTamed) {
  const std::string name(100000, 'n');
  try {
    parse("{\"" + name + "\":3}", 0);
    FAIL();
  } catch (const Error& error) {
    EXPECT_LT(std::string(error.what()).size(), 400u);
  }
  refuses("'a\\x0ab'", R"({"a\nb":3})");
}

}  // namespace
}  // namespace prax::checkpoint

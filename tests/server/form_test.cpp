#include "server/form.h"

#include <gtest/gtest.h>

namespace prax::server {
namespace {

using nlohmann::json;

http::Request multipart(const http::Fields& fields) {
  http::Request request;
  request.body.multipart = true;
  for (const auto& [name, value] : fields) {
    http::Part part;
    part.name = name;
    part.content.append(value);
    request.body.parts.push_back(std::move(part));
  }
  return request;
}

std::string param_of(const http::Fields& fields) {
  try {
    auto request = multipart(fields);
    Form form(request);
  } catch (const http::HttpError& error) {
    EXPECT_EQ(error.status(), 400);
    return error.param();
  }
  return "";
}

TEST(Form, BracketsBecomeATree) {
  auto request = multipart({{"prompt", "x"},
                            {"video[id]", "v"},
                            {"loras[][id]", "a"},
                            {"loras[][w]", "1"},
                            {"loras[][id]", "b"},
                            {"tags[]", "p"},
                            {"tags[]", "q"}});
  EXPECT_EQ(Form(request).tree(), json::parse(R"({"prompt":"x","video":{"id":"v"},
      "loras":[{"id":"a","w":"1"},{"id":"b"}],"tags":["p","q"]})"));
}

TEST(Form, NamesThatContradictAreRefused) {
  EXPECT_EQ(param_of({{"a", "1"}, {"a", "2"}}), "a");
  for (const char* name : {"", "[", "a[", "a]b", "a[b]c", "[a]", "a[b][c][d][e][f][g][h][i]"})
    EXPECT_EQ(param_of({{name, "1"}}), name);
  EXPECT_EQ(param_of({{"a", "1"}, {"a[b]", "2"}}), "a[b]");
  EXPECT_EQ(param_of({{"a[]", "1"}, {"a[b]", "2"}}), "a[b]");
}

TEST(Form, JsonIsNeitherDeepNorOfManyParts) {
  const auto code_of = [](const std::string& body) -> std::string {
    http::Request request;
    request.body.content.append(body);
    try {
      const Form form(request);
    } catch (const http::HttpError& error) {
      EXPECT_EQ(error.status(), 400);
      return error.code();
    }
    return "";
  };
  const auto repeated = [](const std::string& text, size_t count) {
    std::string all;
    for (size_t i = 0; i < count; ++i) all += text;
    return all;
  };
  const auto nested = [&](size_t depth) { return "{\"a\":" + repeated("[", depth) + repeated("]", depth) + "}"; };
  EXPECT_EQ(code_of(nested(20)), "");
  EXPECT_EQ(code_of(nested(100)), "json_too_complex");
  EXPECT_EQ(code_of(nested(2'000'000)), "json_too_complex");
  EXPECT_EQ(code_of(repeated("{\"a\":", 1'000'000)), "json_too_complex");
  EXPECT_EQ(code_of("{\"a\":[" + repeated("0,", 1000) + "0]}"), "");
  EXPECT_EQ(code_of("{\"a\":[" + repeated("{},", 1'000'000) + "0]}"), "json_too_complex");
  EXPECT_EQ(code_of("{\"a\":\"" + repeated("[", 1'000'000) + "\"}"), "");
  EXPECT_EQ(code_of("[]"), "invalid_json");
  EXPECT_EQ(code_of("{\"a\":1e999}"), "invalid_json");
}

TEST(FieldReader, ReadsTypesOfFormsAndOfJson) {
  auto request = multipart({{"steps", "8"}, {"loop", "true"}, {"scale", "1.5"}, {"odd", "x"}});
  const Form form(request);
  FieldReader fields(form, form.tree());
  EXPECT_EQ(fields.whole("steps", 1, 10), 8);
  EXPECT_EQ(fields.flag("loop"), true);
  EXPECT_EQ(fields.number("scale", 0, 2), 1.5);
  EXPECT_THROW(fields.whole("scale", 0, 2), http::HttpError);
  EXPECT_THROW(fields.number("steps", 0, 2), http::HttpError);
  EXPECT_THROW(fields.finish(), http::HttpError);
  EXPECT_THROW(fields.number("odd", 0, 2), http::HttpError);
  EXPECT_NO_THROW(fields.finish());

  http::Request strict;
  strict.body.content.append(R"({"steps":"8","nothing":null})");
  const Form json_form(strict);
  FieldReader json_fields(json_form, json_form.tree());
  EXPECT_THROW(json_fields.whole("steps", 1, 10), http::HttpError);
  EXPECT_FALSE(json_fields.text("nothing", 1, 2));
}

}  // namespace
}  // namespace prax::server

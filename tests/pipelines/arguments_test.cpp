#include "pipelines/arguments.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace prax::pipelines {
namespace {

const std::vector<Argument> arguments{{"width", "int", 64, ""},
                                      {"scale", "float", 1.5, ""},
                                      {"timesteps", "floats", nullptr, ""},
                                      {"name", "string", "x", ""}};

TEST(Arguments, CompletesWithDefaults) {
  const auto got = complete_arguments({{"width", 32.0}, {"scale", nullptr}}, arguments);
  EXPECT_EQ(got["width"], 32);
  EXPECT_TRUE(got["width"].is_number_integer());
  EXPECT_EQ(got["scale"], 1.5);
  EXPECT_TRUE(got["timesteps"].is_null());
}

TEST(Arguments, ChecksNamesAndTypes) {
  EXPECT_THROW(complete_arguments({{"widht", 3}}, arguments), Error);
  EXPECT_THROW(complete_arguments({{"width", 1e300}}, arguments), Error);
  EXPECT_THROW(complete_arguments({{"width", true}}, arguments), Error);
  EXPECT_THROW(complete_arguments({{"timesteps", nlohmann::json::array()}}, arguments), Error);
  EXPECT_THROW(complete_arguments({{"timesteps", {1, "a"}}}, arguments), Error);
  EXPECT_THROW(complete_arguments({{"name", 1}}, arguments), Error);
}

TEST(Utf8, AcceptsTextAndRefusesTheRest) {
  EXPECT_NO_THROW(require_utf8("猫 🎬 é", "the prompt"));
  for (const char* bad : {"\xff", "a\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"})
    EXPECT_THROW(require_utf8(bad, "the prompt"), Error) << bad;
}

}  // namespace
}  // namespace prax::pipelines

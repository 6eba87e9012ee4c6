#include "server/settings.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/error.h"

namespace prax::server {
namespace {

std::filesystem::path write_file(const std::string& text) {
  const auto path = std::filesystem::path(::testing::TempDir()) / ("settings-" + std::to_string(::getpid()) + ".toml");
  std::ofstream(path) << text;
  return path;
}

Settings load(const SettingWords& flags, const std::map<std::string, std::string>& variables, const std::string& file) {
  return load_settings(flags, write_file(file), [&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

std::string complaint(const SettingWords& flags, const std::map<std::string, std::string>& variables,
                      const std::string& file) {
  try {
    load(flags, variables, file);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return std::string(error.what()) + " | " + error.hint();
  }
  return "";
}

TEST(Settings, FlagsBeforeVariablesBeforeTheFile) {
  const std::string file = "port = 1\nhost = \"127.0.0.2\"\nmax_body = \"2M\"\n[model]\nltx = \"models/ltx\"\n";
  const Settings settings =
      load({{"port", {"3"}}}, {{"PRAX_PORT", "2"}, {"PRAX_HOST", "127.0.0.3"}, {"PRAX_DATA", "/d"}}, file);
  EXPECT_EQ(settings.port, 3);
  EXPECT_EQ(settings.host, "127.0.0.3");
  EXPECT_EQ(settings.max_body, 2'000'000u);
  EXPECT_EQ(settings.data, "/d");
  EXPECT_EQ(settings.models.at("ltx"), (std::filesystem::path(::testing::TempDir()) / "models/ltx").lexically_normal());
}

TEST(Settings, PathsInTheFileAreMeantFromItsFolder) {
  const auto folder = std::filesystem::path(::testing::TempDir());
  const Settings settings =
      load({}, {{"PRAX_DATA", "/d"}}, "storage = \"results\"\nupscaler = \"up\"\nstudio = \"pages\"\n");
  EXPECT_EQ(settings.storage, (folder / "results").lexically_normal());
  EXPECT_EQ(settings.upscaler, (folder / "up").lexically_normal());
  EXPECT_EQ(settings.studio_folder, (folder / "pages").lexically_normal());
  EXPECT_EQ(load({}, {{"PRAX_DATA", "/d"}}, "storage = \"s3://a/b\"\n").storage, "s3://a/b");
}

TEST(Settings, EverySettingHasAllItsNames) {
  for (const Setting& setting : settings_table()) {
    EXPECT_EQ(setting.variable().find('-'), std::string::npos);
    EXPECT_FALSE(setting.help.empty()) << setting.name;
    EXPECT_EQ(setting.value_name.empty(), setting.shape == SettingShape::flag) << setting.name;
  }
}

TEST(Settings, SayWhereABadValueCameFrom) {
  EXPECT_NE(complaint({{"port", {"x"}}}, {}, "").find("--port"), std::string::npos);
  EXPECT_NE(complaint({}, {{"PRAX_PORT", "70000"}}, "").find("PRAX_PORT"), std::string::npos);
  EXPECT_NE(complaint({}, {}, "port = true\n").find("port in "), std::string::npos);
  EXPECT_NE(complaint({}, {}, "prot = 1\n").find("did you mean port?"), std::string::npos);
  EXPECT_NE(complaint({}, {}, "port = \n").find("line 1"), std::string::npos);
  EXPECT_NE(complaint({}, {}, "no_keys = 1\n").find("true or false"), std::string::npos);
  EXPECT_NE(complaint({{"no-keys", {"true"}}, {"host", {"0.0.0.0"}}}, {}, "").find("--no-keys"), std::string::npos);
  EXPECT_NE(complaint({{"no-keys", {"true"}}, {"cors-origins", {"*"}}}, {}, "").find("every web page"),
            std::string::npos);
  EXPECT_EQ(complaint({{"cors-origins", {"*"}}}, {}, ""), "");
  EXPECT_NE(complaint({{"no-keys", {"true"}}, {"host", {"127.evil.example"}}}, {}, "").find("--no-keys"),
            std::string::npos);
  EXPECT_NE(complaint({{"tls-key", {"a"}}}, {}, "").find("go together"), std::string::npos);
}

TEST(Settings, TimesAndSizes) {
  EXPECT_EQ(parse_duration("250ms").count(), 250);
  EXPECT_EQ(parse_duration("1.5h").count(), 5'400'000);
  EXPECT_EQ(parse_bytes("1GiB"), 1u << 30);
  EXPECT_EQ(parse_bytes("20G"), 20'000'000'000u);
  for (const char* bad : {"", "x", "-1s", "5 parsecs", "1e300d"}) EXPECT_THROW(parse_duration(bad), Error) << bad;
  for (const char* bad : {"", "-1", "5 stones", "1e30T"}) EXPECT_THROW(parse_bytes(bad), Error) << bad;
}

}  // namespace
}  // namespace prax::server

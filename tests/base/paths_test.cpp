#include "base/paths.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "base/error.h"

namespace prax {
namespace {

namespace fs = std::filesystem;

class EmbeddedModel : public testing::Test {
protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("prax_paths_test_" + std::to_string(getpid()));
    fs::create_directories(folder_ / "with");
    fs::create_directories(folder_ / "without");
    std::ofstream(folder_ / "with/model_index.json") << "{}";
  }
  void TearDown() override {
    unsetenv("PRAX_NANO");
    fs::remove_all(folder_);
  }
  fs::path folder_;
};

TEST_F(EmbeddedModel, TheEnvironmentDecidesAlone) {
  setenv("PRAX_NANO", (folder_ / "with").c_str(), 1);
  EXPECT_EQ(embedded_model_path(), folder_ / "with");
  EXPECT_EQ(resolve_model("nano"), folder_ / "with");
}

TEST_F(EmbeddedModel, AWrongEnvironmentIsAnErrorThatNamesThePlace) {
  setenv("PRAX_NANO", (folder_ / "without").c_str(), 1);
  try {
    embedded_model_path();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::checkpoint);
    EXPECT_NE(std::string(error.what()).find((folder_ / "without").string()), std::string::npos);
    EXPECT_FALSE(error.hint().empty());
  }
}

TEST_F(EmbeddedModel, WithoutTheEnvironmentPlacesBesideTheProgramComeFirst) {
  const auto candidates = embedded_model_candidates();
  ASSERT_FALSE(candidates.empty());
  EXPECT_EQ(candidates[0], program_path().parent_path().parent_path() / "share/praxinoscope/models/nano");
}

//! A server that was upgraded while it runs still finds the program for its workers.
TEST(ProgramPath, SurvivesAReplacement) {
  const fs::path copy = fs::temp_directory_path() / ("prax_paths_test_" + std::to_string(::getpid()));
  const fs::path before = program_path();
  ASSERT_TRUE(fs::exists(before)) << before;
  fs::copy_file(before, copy, fs::copy_options::overwrite_existing);
  const std::string command =
      "exec " + copy.string() + " --gtest_also_run_disabled_tests --gtest_filter=*TellsOfItself";
  EXPECT_EQ(std::system(("PRAX_COPY=" + copy.string() + " " + command + " > /dev/null").c_str()), 0);
  fs::remove(copy);
}

TEST(ProgramPath, DISABLED_TellsOfItself) {
  const fs::path copy = std::getenv("PRAX_COPY");
  fs::remove(copy);
  EXPECT_EQ(program_path(), copy);
}

TEST(ResolveModel, ExpandsTheHomeFolderAndLeavesTheRest) {
  EXPECT_EQ(resolve_model("~/models/x"), home_path() / "models/x");
  EXPECT_EQ(resolve_model("./nano"), fs::path("./nano"));
  EXPECT_EQ(resolve_model("/models/LTX-Video"), fs::path("/models/LTX-Video"));
}

TEST(Manifests, AreFoundInTheSourceTree) {
  EXPECT_TRUE(fs::exists(manifests_path() / "ltx_video_2b_transformer.json")) << manifests_path();
}

TEST(CachePath, IsWhereTheDesktopsSpecificationHasIt) {
  const std::string home = std::getenv("HOME") ? std::getenv("HOME") : "";
  setenv("HOME", "/home/ada", 1);
  setenv("XDG_CACHE_HOME", "/var/tmp/c", 1);
  EXPECT_EQ(cache_path(), "/var/tmp/c/praxinoscope");
  setenv("XDG_CACHE_HOME", "relative", 1);
  EXPECT_EQ(cache_path(), "/home/ada/.cache/praxinoscope");
  unsetenv("XDG_CACHE_HOME");
  EXPECT_EQ(cache_path(), "/home/ada/.cache/praxinoscope");
  home.empty() ? unsetenv("HOME") : setenv("HOME", home.c_str(), 1);
}

}  // namespace
}  // namespace prax

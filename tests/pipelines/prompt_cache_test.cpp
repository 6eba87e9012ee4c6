#include "pipelines/prompt_cache.h"

#include <unistd.h>

#include <fstream>

#include "base/error.h"
#include "base/log.h"
#include "pipelines/pyramid_flow_support.h"
#include "support/tensors.h"

namespace prax {
namespace {

namespace fs = std::filesystem;
using pipelines::LoadOptions;
using pipelines::Request;
using test::Golden;

std::string bytes_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

//! Other bytes in a file of the same size and time.
void overwrite(const fs::path& file) {
  const auto time = fs::last_write_time(file);
  const std::string garbage(fs::file_size(file), 'x');
  std::ofstream(file, std::ios::binary) << garbage;
  fs::last_write_time(file, time);
}

//! A model folder and a cache of its own.
class PromptCache : public testing::TestWithParam<const char*> {
protected:
  void SetUp() override {
    const std::string name = GetParam();
    const bool pyramid = name.starts_with("flux") || name.starts_with("mmdit");
    const Golden golden = pyramid ? test::pyramid_flow_golden(name) : Golden(name);
    root_ = fs::temp_directory_path() / ("prax_prompt_cache_" + std::to_string(getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
    fs::copy(pyramid ? test::case_folder(golden) : test::folder_of(golden), model(), fs::copy_options::recursive);
    request_ = pyramid ? test::case_request(golden) : test::request_of(golden);
    request_.arguments["num_inference_steps"] = 2;
    options_.dtype = DType::f32;
    options_.prompt_cache = root_ / "cache";
    without_.dtype = DType::f32;
  }
  void TearDown() override { fs::remove_all(root_); }

  fs::path model() const { return root_ / "model"; }
  Tensor latents(const LoadOptions& options) const {
    const auto pipeline = pipelines::load(model(), options);
    pipelines::Run run = pipeline->begin(request_);
    pipeline->denoise(run, {});
    return run.latents;
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(options_.prompt_cache)) found.push_back(entry.path());
    std::sort(found.begin(), found.end());
    return found;
  }
  void break_encoders() const {
    for (const auto& entry : fs::recursive_directory_iterator(model()))
      if (entry.path().extension() == ".safetensors" &&
          entry.path().parent_path().filename().string().starts_with("text_encoder"))
        overwrite(entry.path());
  }

  fs::path root_;
  Request request_;
  LoadOptions options_, without_;
};

TEST_P(PromptCache, AHitIsAMissToTheBitAndOpensNoEncoder) {
  const Tensor want = latents(without_);
  EXPECT_FALSE(fs::exists(options_.prompt_cache)) << "off unless asked";
  EXPECT_TRUE(test::same(latents(options_), want));
  EXPECT_FALSE(files().empty());
  break_encoders();
  EXPECT_THROW(latents(without_), Error);
  EXPECT_TRUE(test::same(latents(options_), want));
  LoadOptions other = options_;
  other.dtype = DType::bf16;
  EXPECT_THROW(latents(other), Error) << "other arithmetic gives other bits";
}

TEST_P(PromptCache, KnowsSomeOfTheTexts) {
  test::on_every_isa([&] {
    fs::remove_all(options_.prompt_cache);
    request_.negative_prompt = "blurry";
    latents(options_);
    const size_t before = files().size();
    request_.negative_prompt = "a cartoon";
    EXPECT_TRUE(test::same(latents(options_), latents(without_)));
    EXPECT_EQ(files().size(), before * 3 / 2);
  });
}

TEST_P(PromptCache, ABrokenFileIsMadeAnew) {
  const Tensor want = latents(options_);
  const auto all = files();
  std::vector<std::string> sound;
  for (const fs::path& file : all) sound.push_back(bytes_of(file));
  const std::function<std::string(std::string)> damages[] = {
      [](std::string bytes) { return bytes.substr(0, bytes.size() / 2); }, [](std::string) { return std::string(); },
      [](std::string bytes) {
        bytes.back() ^= 1;  // in a number
        return bytes;
      }};
  for (const auto& damage : damages) {
    for (size_t i = 0; i < all.size(); ++i) std::ofstream(all[i], std::ios::binary) << damage(sound[i]);
    size_t warnings = 0;
    {
      const ScopedLogSink sink([&](LogLevel level, std::string_view) { warnings += level == LogLevel::warning; });
      EXPECT_TRUE(test::same(latents(options_), want));
    }
    EXPECT_GE(warnings, all.size());
    for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(bytes_of(all[i]), sound[i]);
  }
}

TEST_P(PromptCache, TheLeastRecentlyUsedGoFirst) {
  const auto with_prompt = [&](const std::string& prompt) {
    request_.prompt = request_.negative_prompt = prompt;
    const auto before = fs::exists(options_.prompt_cache) ? files() : std::vector<fs::path>{};
    latents(options_);
    std::vector<fs::path> fresh;
    for (const fs::path& file : files())
      if (std::find(before.begin(), before.end(), file) == before.end()) fresh.push_back(file);
    return fresh;
  };
  const auto first = with_prompt("one"), second = with_prompt("two");
  ASSERT_FALSE(first.empty());
  uint64_t bytes = 0;
  for (const fs::path& file : files()) bytes += fs::file_size(file);
  // The clock of files may be coarse.
  const auto now = fs::file_time_type::clock::now();
  for (const fs::path& file : first) fs::last_write_time(file, now - std::chrono::hours(2));
  for (const fs::path& file : second) fs::last_write_time(file, now - std::chrono::hours(1));
  EXPECT_TRUE(with_prompt("one").empty());  // and is used now
  options_.prompt_cache_bytes = bytes;
  const auto third = with_prompt("three");
  uint64_t left = 0;
  for (const fs::path& file : files()) left += fs::file_size(file);
  EXPECT_LE(left, bytes);
  for (const fs::path& file : first) EXPECT_TRUE(fs::exists(file));
  for (const fs::path& file : third) EXPECT_TRUE(fs::exists(file));
  EXPECT_FALSE(std::all_of(second.begin(), second.end(), [](const fs::path& file) { return fs::exists(file); }));
}

TEST_P(PromptCache, APlaceThatCannotBeWrittenIsNoReasonToStop) {
  const Tensor want = latents(without_);
  std::ofstream(root_ / "file") << "in the way";
  options_.prompt_cache = root_ / "file" / "cache";
  size_t warnings = 0;
  const ScopedLogSink sink([&](LogLevel level, std::string_view) { warnings += level == LogLevel::warning; });
  EXPECT_TRUE(test::same(latents(options_), want));
  EXPECT_GT(warnings, 0u);
}

INSTANTIATE_TEST_SUITE_P(Families, PromptCache,
                         testing::Values("ltx_090_t2v", "ltx_095_condition", "cogvideox_2b_t2v", "mochi_t2v",
                                         "flux_t2v", "mmdit_t2v"));

}  // namespace
}  // namespace prax

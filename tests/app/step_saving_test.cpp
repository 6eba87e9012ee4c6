// What spares work, as people ask for it: --cache and --cache-prompts.

#include "npy_clip.h"
#include "run_prax.h"

namespace {

namespace fs = std::filesystem;

std::string clip(const fs::path& out, const std::string& more) {
  return "generate 'a red balloon rises over the sea' --seed 7 --steps 8 --guidance 3 -o " + out.string() + " " + more;
}

TEST(Cache, SaysWhatItSpared) {
  const ScratchFolder scratch;
  const fs::path out = scratch.path() / "x.npy";
  const Finished plain = run_prax(clip(out, ""));
  ASSERT_EQ(plain.code, 0) << plain.err;
  EXPECT_FALSE(plain.says("cache:"));
  const std::string want = npy(out).data;
  const Finished exact = run_prax(clip(out, "--cache extrapolate --set cache_threshold=0"));
  ASSERT_EQ(exact.code, 0) << exact.err;
  EXPECT_TRUE(exact.says("cache: the denoiser ran whole 16 of 16 times")) << exact.out;
  EXPECT_EQ(npy(out).data, want);
  const Finished spared = run_prax(clip(out, "--cache first-block --set cache_threshold=0.4 --json"));
  ASSERT_EQ(spared.code, 0) << spared.err;
  const auto calls = spared.lines().back()["denoiser_calls"];
  EXPECT_EQ(calls["whole"].get<int>() + calls["spared"].get<int>(), 16);
  EXPECT_GT(calls["spared"].get<int>(), 0);
  EXPECT_NE(npy(out).data, want);
}

TEST(Cache, RefusesWhatThereIsNot) {
  const ScratchFolder scratch;
  const fs::path out = scratch.path() / "x.npy";
  const Finished f = run_prax(clip(out, "--cache teacup"));
  EXPECT_EQ(f.code, 2);
  EXPECT_TRUE(f.complains("first-block or extrapolate")) << f.err;
  EXPECT_EQ(run_prax(clip(out, "--set cache_threshold=0.1")).code, 2);
  EXPECT_EQ(run_prax(clip(out, "--set guidance_stop=2")).code, 2);
  EXPECT_FALSE(fs::exists(out));
}

TEST(CachePrompts, KeepsThemForTheNextTime) {
  const ScratchFolder scratch;
  const fs::path out = scratch.path() / "x.npy", kept = scratch.path() / "c/praxinoscope/prompts";
  ASSERT_EQ(setenv("XDG_CACHE_HOME", (scratch.path() / "c").c_str(), 1), 0);
  const auto count = [&] {
    std::error_code none;
    return std::distance(fs::directory_iterator(kept, none), fs::directory_iterator());
  };
  ASSERT_EQ(run_prax(clip(out, "")).code, 0);
  const std::string want = npy(out).data;
  EXPECT_EQ(count(), 0) << "off unless asked";
  ASSERT_EQ(run_prax(clip(out, "--cache-prompts")).code, 0);
  EXPECT_EQ(npy(out).data, want);
  EXPECT_EQ(count(), 2) << "the prompt and the empty one";
  setenv("PRAX_CACHE_PROMPTS", "1", 1);
  EXPECT_EQ(run_prax(clip(out, "")).code, 0);
  EXPECT_EQ(npy(out).data, want);
  EXPECT_EQ(count(), 2);
  ASSERT_EQ(run_prax(clip(out, "--negative blurry")).code, 0);
  EXPECT_EQ(count(), 3);
  unsetenv("PRAX_CACHE_PROMPTS");
  unsetenv("XDG_CACHE_HOME");
}

}  // namespace

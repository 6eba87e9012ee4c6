// Videos from pictures and clips, as people make them, with the embedded model.

#include <algorithm>
#include <numeric>

#include "npy_clip.h"
#include "run_prax.h"

namespace {

namespace fs = std::filesystem;

//! A clip of the embedded model and its first frame.
class FromPictures : public testing::Test {
protected:
  FromPictures() {
    clip = scratch.path() / "clip.mp4";
    EXPECT_EQ(run_prax(quick(clip, "")).code, 0);
    EXPECT_EQ(run_prax(quick(scratch.path() / "frames", "")).code, 0);
    picture = scratch.path() / "frames/frame_00000.png";
  }
  //! The run fails with this exit code and says this.
  void refuses(const std::string& flags, int code, const std::string& word) {
    const Finished f = run_prax(quick(scratch.path() / "no.mp4", flags));
    EXPECT_EQ(f.code, code) << flags << ": " << f.err;
    EXPECT_TRUE(f.complains(word)) << flags << ": " << f.err;
    EXPECT_FALSE(fs::exists(scratch.path() / "no.mp4"));
  }
  ScratchFolder scratch;
  fs::path clip, picture;
};

TEST_F(FromPictures, MakesVideosFromAllOfThem) {
  const struct {
    std::string flags, says;
  } asked[] = {{"--image " + picture.string(), "25 frames 128x128"},
               {"--image " + picture.string() + " --loop", "25 frames 128x128"},
               {"--loop", "25 frames 128x128"},
               {"--condition " + picture.string() + "@24:0.9", "25 frames 128x128"},
               {"--video " + clip.string() + " --strength 0.5", "25 frames 128x128"},
               {"--extend " + clip.string(), "49 frames 128x128"},
               {"--shot 'a red balloon@2' --shot 'a blue fish@2'", "49 frames 128x128"}};
  for (const auto& [flags, says] : asked) {
    const Finished f = run_prax(quick(scratch.path() / "out.webp", flags));
    EXPECT_EQ(f.code, 0) << flags << f.err;
    EXPECT_TRUE(f.says(says)) << flags << ": " << f.out;
  }
}

constexpr size_t picture_values = size_t{128} * 128 * 3;

//! Clips in all the steps of the model: what it was taught, not what is computed.
class Taught : public testing::TestWithParam<const char*> {
protected:
  static constexpr double allowed = 3.0;  // dB below what neighbouring frames have on the whole

  std::string generate(const fs::path& out, const std::string& more) const {
    const Finished f = run_prax(std::string("generate '") + GetParam() + "' -o " + out.string() + " " + more);
    EXPECT_EQ(f.code, 0) << f.err;
    return out.string();
  }
  Clip made(const std::string& more) const { return npy(generate(scratch.path() / "made.npy", more)); }

  static double likeness(const Clip& clip, size_t a, size_t b) {
    return psnr(clip.frame(a, picture_values), clip.frame(b, picture_values));
  }
  static std::vector<double> of_neighbours(const Clip& clip, size_t frames) {
    std::vector<double> all;
    for (size_t i = 0; i + 1 < frames; ++i) all.push_back(likeness(clip, i, i + 1));
    return all;
  }
  static double mean(const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  }
  ScratchFolder scratch;
};

TEST_P(Taught, ALoopCloses) {
  const Clip loop = made("--seed 7 --loop");
  EXPECT_GT(likeness(loop, 24, 0), mean(of_neighbours(loop, 25)) - allowed);
  for (size_t i = 16; i < 24; ++i) EXPECT_GT(likeness(loop, i, i + 1), 20.0) << "a jump at frame " << i + 1;
}

TEST_P(Taught, AClipBeginsWithItsPictureAndGoesOnFromIt) {
  const Clip first = made("--seed 8");
  const Clip clip = made("--seed 9 --image " + generate(scratch.path() / "frames", "--seed 8") + "/frame_00000.png");
  EXPECT_GT(psnr(clip.frame(0, picture_values), first.frame(0, picture_values)), 24.0);
  EXPECT_GT(likeness(clip, 0, 1), likeness(first, 0, 1) - allowed) << "as where the model drew the picture itself";
}

TEST_P(Taught, AnExtensionHasNoCut) {
  const Clip clip = made("--seed 9 --extend " + generate(scratch.path() / "clip.mp4", "--seed 8"));
  ASSERT_EQ(clip.data.size(), 49 * picture_values * sizeof(float));
  // The mean would say less: behind the joint an actor may leave a picture that stands still.
  EXPECT_GT(likeness(clip, 24, 25), std::ranges::min(of_neighbours(clip, 25)) - allowed)
      << "the given clip's own least";
}

INSTANTIATE_TEST_SUITE_P(Prompts, Taught,
                         testing::Values("a red balloon rises over the sea at sunset",
                                         "a yellow fish swims right through the sea",
                                         "a blue car drives left through the city at night"));

TEST_F(FromPictures, SaysWhatIsWrongWithAnInput) {
  std::ofstream(scratch.path() / "text.png") << "this is no picture";
  std::ofstream(scratch.path() / "text.safetensors") << "this is no LoRA";
  refuses("--image " + (scratch.path() / "text.png").string(), 1, "text.png");
  refuses("--image /nowhere/at-all.png", 1, "at-all.png");
  refuses("--video " + (scratch.path() / "text.png").string(), 1, "text.png");
  refuses("--condition " + picture.string() + "@99", 2, "0 to 24");
  refuses("--condition " + picture.string(), 2, "FILE@FRAME");
  refuses("--condition " + picture.string() + "@8 --condition " + picture.string() + "@8", 2, "overlap");
  refuses("--strength 0.5", 2, "--image or --video");
  refuses("--image " + picture.string() + " --strength 2 --loop", 2, "0 to 1");
  refuses("--shot 'a red balloon'", 2, "seconds");
  refuses("--shot 'a red balloon@2' --loop", 2, "first");
  refuses("--lora " + (scratch.path() / "text.safetensors").string() + ":0.5", 1, "text.safetensors");
  refuses("--upscale /nowhere", 1, "/nowhere");
}

TEST_F(FromPictures, ALoraOfAnotherModelIsNamed) {
  const fs::path other = fs::path(PRAX_TEST_DATA) / "cases/ltx_lora/peft_layout_0.safetensors";
  const Finished f = run_prax(quick(scratch.path() / "no.mp4", "--lora " + other.string()));
  EXPECT_EQ(f.code, 1);
  EXPECT_TRUE(f.complains("to_q")) << f.err;
}

}  // namespace

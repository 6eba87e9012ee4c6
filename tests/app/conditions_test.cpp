// Videos from pictures and clips, as people make them, with the embedded model.

#include "run_prax.h"

namespace {

namespace fs = std::filesystem;

std::string quick(const fs::path& out, const std::string& more) {
  return "generate 'a red balloon rises over the sea' --seed 7 --steps 2 -o " + out.string() + " " + more;
}

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

// `prax generate`, `decode`, `info`, `models` as people run them, with the embedded model.

#include <signal.h>
#include <sys/resource.h>

#include <chrono>
#include <thread>

#include "npy_clip.h"
#include "run_prax.h"

namespace {

namespace fs = std::filesystem;

//! Names in a folder, hidden ones too.
std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  return names;
}

TEST(Generate, MakesAVideoWithNothingElse) {
  const ScratchFolder scratch;
  const fs::path out = scratch.path() / "x.mp4";
  const Finished f = run_prax(quick(out));
  EXPECT_EQ(f.code, 0) << f.err;
  EXPECT_TRUE(f.says("25 frames 128x128")) << f.out;
  EXPECT_GT(fs::file_size(out), 1000u);
  EXPECT_EQ(names_in(scratch.path()).size(), 1u) << "something was left beside the video";
}

TEST(Generate, GivesTheSameFramesAgainAndOnAnyNumberOfThreads) {
  const ScratchFolder scratch;
  std::string first;
  for (const char* more : {"", "", "--threads 1", "--threads 2", "--threads 3"}) {
    const fs::path out = scratch.path() / "x.npy";
    ASSERT_EQ(run_prax(quick(out, more)).code, 0);
    const Clip clip = npy(out);
    EXPECT_NE(clip.header.find("(25, 128, 128, 3)"), std::string::npos) << clip.header;
    EXPECT_EQ(clip.data.size(), 25u * 128 * 128 * 3 * 4);
    if (first.empty()) first = clip.data;
    EXPECT_TRUE(clip.data == first) << more;
  }
}

TEST(Generate, WritesEveryFormat) {
  const ScratchFolder scratch;
  for (const char* name : {"a.mp4", "a.webm", "a.gif", "a.webp", "a.png", "a.npy", "frames"}) {
    const fs::path out = scratch.path() / name;
    const Finished f = run_prax(quick(out, "--steps 1").replace(quick(out).find("--steps 2"), 9, ""));
    EXPECT_EQ(f.code, 0) << name << ": " << f.err;
    EXPECT_TRUE(fs::exists(out)) << name;
  }
  size_t pictures = 0;
  for (const auto& name : names_in(scratch.path() / "frames")) pictures += name.ends_with(".png");
  EXPECT_EQ(pictures, 25u);
}

TEST(Generate, RefusesWhatCannotBe) {
  const ScratchFolder scratch;
  const std::string out = " -o " + (scratch.path() / "x.mp4").string();
  const struct {
    std::string arguments, says;
  } cases[] = {
      {"generate ''" + out, "prompt is empty"},
      {"generate" + out, "prompt is empty"},
      {"generate 'a' --stesp 3" + out, "--steps"},
      {"genrate 'a'" + out, "generate"},
      {"generate 'a' 'b'" + out, "too many"},
      {"generate 'a' --size 100x128" + out, "96 or 112"},
      {"generate 'a' --size wide" + out, "768x512"},
      {"generate 'a' --frames 20" + out, "17 or 21"},
      {"generate 'a' --set num_frame=9" + out, "num_frames"},
      {"generate 'a' --set steps" + out, "name=value"},
      {"generate 'a' --frames 9 --set num_frames=9" + out, "twice"},
      {"generate 'a' --seed -1" + out, "seed"},
      {"generate 'a' --seed 99999999999999999999" + out, "seed"},
      {"generate 'a' --steps abc" + out, "--steps cannot be 'abc'"},
      {"generate 'a' --steps", "--steps needs a value"},
      {"generate 'a' --steps 1 --steps 2", "--steps was given twice"},
      {"generate a red balloon", "in quotes"},
      {"generate 'a' --threads 0" + out, "1 to 1024"},
      {"generate 'a' --preview " + (scratch.path() / "p.jpg").string() + out, ".png"},
      {"--vesion", "--version"},
      {"--steps 3 generate 'a'" + out, "command"},
      {"generate 'a' --dtype int3" + out, "bf16"},
      {"generate 'a' -o " + (scratch.path() / "x.avi").string(), ".mp4"},
      {"generate \"$(printf 'caf\\351')\"" + out, "UTF-8"},
      {"decode", "RUN"},
  };
  for (const auto& c : cases) {
    const Finished f = run_prax(c.arguments);
    EXPECT_EQ(f.code, 2) << c.arguments << "\n" << f.err;
    EXPECT_TRUE(f.complains(c.says)) << c.arguments << "\n" << f.err;
  }
  EXPECT_TRUE(names_in(scratch.path()).empty());
}

TEST(Generate, SaysWhatIsWrongWithFilesAndFolders) {
  const ScratchFolder scratch;
  const fs::path file = scratch.path() / "file";
  std::ofstream(file) << "x";
  EXPECT_EQ(run_prax(quick(scratch.path() / "missing" / "x.mp4")).code, 1);
  EXPECT_EQ(run_prax(quick(file / "x.mp4")).code, 1);
  const Finished full = run_prax(quick("/dev/full"));
  EXPECT_NE(full.code, 0);
  EXPECT_FALSE(full.err.empty());
  const Finished model = run_prax("generate a --model " + scratch.path().string());
  EXPECT_EQ(model.code, 1);
  EXPECT_TRUE(model.complains("model_index.json")) << model.err;
  EXPECT_EQ(run_prax("generate --resume " + file.string()).code, 1);
  EXPECT_EQ(run_prax("info " + (scratch.path() / "nothing").string()).code, 1);
}

TEST(Generate, TakesAPromptFromAnywhere) {
  const ScratchFolder scratch;
  const fs::path prompt = scratch.path() / "prompt.txt";
  std::ofstream(prompt) << "a red balloon rises over the sea\n";
  const auto clip_of = [&](const std::string& arguments) {
    const fs::path out = scratch.path() / "x.npy";
    fs::remove(out);
    const Finished f = run_prax(arguments + " --seed 7 --steps 2 -o " + out.string());
    EXPECT_EQ(f.code, 0) << arguments << "\n" << f.err;
    return npy(out).data;
  };
  const std::string said = clip_of("generate 'a red balloon rises over the sea'");
  EXPECT_TRUE(clip_of("generate --prompt-file " + prompt.string()) == said);
  const fs::path piped = scratch.path() / "piped.npy";
  const Finished f = run_prax("--version; (cat " + prompt.string() +
                              " | " PRAX_BINARY " generate - --seed 7 --steps 2 -o " + piped.string() + ")");
  EXPECT_EQ(f.code, 0) << f.err;
  EXPECT_TRUE(npy(piped).data == said);
  EXPECT_TRUE(clip_of("generate --set num_frames=25 'a red balloon rises over the sea' --set width=128") == said);
  EXPECT_FALSE(clip_of("generate 'another'") == said);
  EXPECT_EQ(run_prax("generate --prompt-file " + scratch.path().string()).code, 1);
  EXPECT_EQ(run_prax("generate a --prompt-file " + prompt.string()).code, 2);
}

TEST(Generate, KeepsAnEarlierRunThatNobodyUsed) {
  const ScratchFolder scratch;
  const fs::path out = scratch.path() / "x.npy", kept = out.string() + ".prax", old = kept.string() + ".old";
  ASSERT_EQ(run_prax(quick(out, "--keep-latents")).code, 0);
  ASSERT_EQ(run_prax(quick(out, "--keep-latents")).code, 0);
  EXPECT_FALSE(fs::exists(old)) << "that run's video was there";
  const std::string before = file_text(kept);
  fs::remove(out);
  const Finished f = run_prax(quick(out, "--keep-latents --guidance 2"));
  EXPECT_EQ(f.code, 0) << f.err;
  EXPECT_TRUE(f.complains(old.string())) << f.err;
  EXPECT_TRUE(file_text(old) == before);
  EXPECT_FALSE(file_text(kept) == before);
}

TEST(Generate, SaysThatANegativePromptIsNotReadWithoutGuidance) {
  const ScratchFolder scratch;
  const fs::path out = scratch.path() / "x.npy";
  EXPECT_TRUE(run_prax(quick(out, "--guidance 1 --negative blurry")).complains("without guidance"));
  EXPECT_FALSE(run_prax(quick(out, "--guidance 3 --negative blurry")).complains("without guidance"));
}

TEST(Generate, CutsAVeryLongPromptWithAWarning) {
  const ScratchFolder scratch;
  const fs::path prompt = scratch.path() / "prompt.txt", out = scratch.path() / "x.npy";
  {
    std::ofstream file(prompt);
    for (int i = 0; i < 10000; ++i) file << "a red fish ";
  }
  const Finished f = run_prax("generate --prompt-file " + prompt.string() + " --steps 1 -o " + out.string());
  EXPECT_EQ(f.code, 0) << f.err;
  EXPECT_TRUE(f.complains("too long")) << f.err;
}

TEST(Generate, AFullDiskLosesNothing) {
  const ScratchFolder scratch;
  const fs::path out = scratch.path() / "x.npy";  // 4.9 MB, more than the limit
  const Finished f = run_prax("--version; ulimit -f 2000; " PRAX_BINARY " " + quick(out));
  EXPECT_EQ(f.code, 1);
  EXPECT_FALSE(fs::exists(out));
  EXPECT_TRUE(f.complains("prax decode")) << f.err;
  const fs::path kept = out.string() + ".prax", later = scratch.path() / "later.npy";
  EXPECT_EQ(names_in(scratch.path()), std::vector<std::string>{"x.npy.prax"});
  ASSERT_EQ(run_prax("decode " + kept.string() + " -o " + later.string()).code, 0);
  ASSERT_EQ(run_prax(quick(out)).code, 0);
  EXPECT_TRUE(npy(later).data == npy(out).data);
}

//! Starts prax, interrupts it after its progress reached a step, and waits.
struct Interrupted {
  int code = -1;
  double seconds = 0;
};
Interrupted interrupt(const std::vector<std::string>& arguments, const fs::path& watched, int signal) {
  std::vector<char*> argv{const_cast<char*>(PRAX_BINARY)};
  for (const auto& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    freopen("/dev/null", "w", stdout);
    freopen((watched.string() + ".log").c_str(), "w", stderr);
    execv(PRAX_BINARY, argv.data());
    _exit(127);
  }
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  while (!fs::exists(watched) && Clock::now() - begin < std::chrono::seconds(60))
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const auto sent = Clock::now();
  kill(child, signal);
  int status = 0;
  waitpid(child, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, std::chrono::duration<double>(Clock::now() - sent).count()};
}

TEST(Generate, GoesOnAfterAnInterruptionToTheSameBits) {
  const ScratchFolder scratch;
  const fs::path whole = scratch.path() / "whole.npy", out = scratch.path() / "x.npy",
                 preview = scratch.path() / "p.png";
  const std::string prompt = "a blue kite drifts left";
  ASSERT_EQ(run_prax("generate '" + prompt + "' --seed 3 --steps 40 -o " + whole.string()).code, 0);
  // The preview file says that a step is done.
  const Interrupted i = interrupt({"generate", prompt, "--seed", "3", "--steps", "40", "-o", out.string(), "--preview",
                                   preview.string(), "--preview-every", "1"},
                                  preview, SIGINT);
  ASSERT_EQ(i.code, 130);
  EXPECT_LT(i.seconds, 5);  // a second on an idle machine
  EXPECT_FALSE(fs::exists(out));
  const fs::path kept = out.string() + ".prax";
  ASSERT_TRUE(fs::exists(kept));
  EXPECT_TRUE(run_prax("info " + kept.string()).says("generate --resume"));
  EXPECT_EQ(run_prax("generate 'another' --resume " + kept.string()).code, 2);
  const Finished resumed = run_prax("generate --resume " + kept.string());
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_TRUE(npy(out).data == npy(whole).data);
  EXPECT_FALSE(fs::exists(kept));
}

TEST(Generate, KeepsLatentsForAnotherFormat) {
  const ScratchFolder scratch;
  const fs::path out = scratch.path() / "x.npy", again = scratch.path() / "y.npy";
  ASSERT_EQ(run_prax(quick(out, "--keep-latents")).code, 0);
  const Finished f = run_prax("decode " + out.string() + ".prax -o " + again.string());
  EXPECT_EQ(f.code, 0) << f.err;
  EXPECT_TRUE(npy(out).data == npy(again).data);
}

TEST(Generate, SpeaksJson) {
  const ScratchFolder scratch;
  const auto lines = run_prax(quick(scratch.path() / "x.gif", "--json")).lines();
  ASSERT_FALSE(lines.empty());
  EXPECT_EQ(lines.back()["type"], "result");
  EXPECT_EQ(lines.back()["frames"], 25);
  EXPECT_EQ(lines.back()["seed"], 7);
  bool progress = false;
  for (const auto& line : lines) progress |= line["type"] == "progress";
  EXPECT_TRUE(progress);
  const auto error = run_prax("generate '' --json").lines();
  ASSERT_EQ(error.size(), 1u);
  EXPECT_EQ(error[0]["type"], "error");
  EXPECT_EQ(error[0]["kind"], "usage");
}

TEST(Generate, MakesSeveralClips) {
  const ScratchFolder scratch;
  const Finished f = run_prax(quick(scratch.path() / "x.npy", "--set num_videos_per_prompt=2"));
  EXPECT_EQ(f.code, 0) << f.err;
  EXPECT_TRUE(fs::exists(scratch.path() / "x-1.npy"));
  EXPECT_TRUE(fs::exists(scratch.path() / "x-2.npy"));
}

TEST(Generate, RefusesABrokenModel) {
  const ScratchFolder scratch;
  const fs::path model = scratch.path() / "model";
  fs::copy(PRAX_SOURCE_DIR "/models/nano", model, fs::copy_options::recursive);
  const fs::path weights = model / "transformer" / "diffusion_pytorch_model.safetensors";
  const std::string generate =
      "generate a --steps 1 --model " + model.string() + " -o " + (scratch.path() / "x.mp4").string();
  const auto expect = [&](const std::string& word) {
    const Finished f = run_prax(generate);
    EXPECT_EQ(f.code, 1) << f.err;
    EXPECT_TRUE(f.complains(word)) << f.err;
    EXPECT_FALSE(fs::exists(scratch.path() / "x.mp4"));
  };
  const std::string good = file_text(weights);
  fs::resize_file(weights, good.size() - 1000);
  expect("1000 of the");
  {
    std::string bad = good;  // a NaN in the last tensor
    bad[bad.size() - 1] = '\x7f';
    bad[bad.size() - 2] = '\xc0';
    std::ofstream(weights, std::ios::binary) << bad;
  }
  expect("finite");
  fs::remove(weights);
  expect("transformer");
  std::ofstream(weights, std::ios::binary) << good;
  fs::remove_all(model / "vae");
  expect("vae");
}

TEST(Info, SaysWhatAFolderHolds) {
  const Finished f = run_prax("info nano");
  EXPECT_EQ(f.code, 0) << f.err;
  EXPECT_TRUE(f.says("LTXVideoTransformer3DModel"));
  EXPECT_TRUE(f.says("num_inference_steps"));
  const auto lines = run_prax("info nano --json").lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["family"], "ltx-video");
  EXPECT_TRUE(lines[0]["runs"]);
}

TEST(Info, SaysWhatIsThereOfAnIncompleteOrUnknownModel) {
  const ScratchFolder scratch;
  const fs::path model = scratch.path() / "model";
  fs::copy(PRAX_SOURCE_DIR "/models/nano", model, fs::copy_options::recursive);
  fs::remove_all(model / "vae");
  auto lines = run_prax("info --json " + model.string()).lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_FALSE(lines[0]["runs"]);
  EXPECT_NE(lines[0]["problem"].dump().find("vae"), std::string::npos) << lines[0];
  for (const auto& component : lines[0]["components"]) {
    const std::string name = component["name"];
    EXPECT_EQ(component["problem"].is_string(), name == "vae") << component;
    EXPECT_EQ(component["parameters"] > 1000000, name == "transformer") << component;
  }
  std::ofstream(model / "model_index.json")
      << R"({"_class_name": "CogVideoXPipeline", "transformer": ["diffusers", "CogVideoXTransformer3DModel"]})";
  lines = run_prax("info --json " + model.string()).lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_FALSE(lines[0]["runs"]);
  EXPECT_EQ(lines[0]["family"], "cogvideox");
  EXPECT_EQ(lines[0]["components"][0]["dtypes"].size(), 1u);
}

TEST(Models, LooksWhereItIsTold) {
  const ScratchFolder scratch;
  const fs::path cached = scratch.path() / "hub/models--genmo--mochi-1-preview/snapshots/0123";
  const fs::path listed = scratch.path() / "listed/mine";
  for (const auto& folder : {cached, listed}) {
    fs::create_directories(folder);
    std::ofstream(folder / "model_index.json") << R"({"_class_name": "MochiPipeline", "vae": ["diffusers", "X"]})";
  }
  const std::string places =
      "HF_HUB_CACHE=" + (scratch.path() / "hub").string() + " PRAX_MODELS=/none:" + listed.parent_path().string();
  const Finished f = run_prax("--version; " + places + " " PRAX_BINARY " models");
  EXPECT_TRUE(f.says(cached.string())) << f.out;
  EXPECT_TRUE(f.says(listed.string())) << f.out;
}

TEST(Models, ListsFamiliesAndWhatIsHere) {
  const Finished f = run_prax("models");
  EXPECT_EQ(f.code, 0);
  for (const char* name : {"LTX-Video", "CogVideoX", "Mochi", "Pyramid Flow", "nano"})
    EXPECT_TRUE(f.says(name)) << name;
  EXPECT_EQ(run_prax("models --json").lines().size(), 1u);
}

TEST(Help, IsThereForEveryCommand) {
  EXPECT_TRUE(run_prax("--help").says("generate"));
  EXPECT_TRUE(run_prax("--version").says("prax 0."));
  EXPECT_EQ(run_prax("").code, 2);
  for (const char* command : {"generate", "decode", "info", "models", "verify", "bench"}) {
    const Finished f = run_prax(std::string("help ") + command);
    EXPECT_EQ(f.code, 0) << command;
    EXPECT_GT(f.out.size(), 100u) << command;
  }
  EXPECT_EQ(run_prax("help nothing").code, 2);
}

}  // namespace

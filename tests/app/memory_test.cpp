// Memory of a run: foretold by `prax info`, kept below --memory, told at the end.

#include "npy_clip.h"
#include "run_prax.h"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

//! A clip whose pictures take more than the program and its weights.
const std::string large = " --size 768x512 --frames 17";

json told_by(const Finished& f, const std::string& type) {
  EXPECT_EQ(f.code, 0) << f.err;
  for (const json& line : f.lines())
    if (line["type"] == type) return line;
  ADD_FAILURE() << "no " << type << " in " << f.out;
  return json::object();
}

Finished generate(const fs::path& out, const std::string& flags) {
  return run_prax("generate 'a red balloon' --seed 7 --steps 1 --json -o " + out.string() + " " + flags);
}

double forecast(const std::string& flags) {
  const json told = told_by(run_prax("info nano --json --output x.npy" + flags), "info");
  return told["forecast"]["peak_anonymous_bytes"];
}

TEST(Memory, IsForetoldToWithin15Percent) {
  const ScratchFolder scratch;
  for (const std::string dtype : {" --dtype bf16", " --dtype f32"}) {
    const json told = told_by(generate(scratch.path() / "x.npy", large + dtype), "result");
    const double measured = told["peak_anonymous_bytes"], foretold = forecast(large + dtype);
    EXPECT_GT(measured, 60e6);
    EXPECT_NEAR(foretold / measured, 1.0, 0.15) << dtype << ": " << foretold << " and " << measured;
    EXPECT_EQ(told["stage_memory"]["decode"], measured);
  }
}

TEST(Memory, ALimitChangesTheWayAndHolds) {
  const ScratchFolder scratch;
  const std::string large = " --size 1536x1024 --frames 1";
  const double whole = forecast(large), limit = 0.75 * whole;
  const std::string flag = " --memory " + std::to_string(static_cast<int64_t>(limit / 1e6)) + "M";
  const Finished f = generate(scratch.path() / "x.npy", large + flag);
  const json plan = told_by(f, "memory_plan"), result = told_by(f, "result");
  EXPECT_TRUE(plan["choice"].get<std::string>().find("in tiles of") != std::string::npos) << plan;
  EXPECT_LT(plan["expected"], limit);
  EXPECT_LT(result["peak_anonymous_bytes"], limit);
  EXPECT_LT(result["peak_anonymous_bytes"], 0.8 * whole);
  // What fits anyway stays as it is, to the bit.
  const fs::path roomy = scratch.path() / "a.npy", free = scratch.path() / "b.npy";
  EXPECT_EQ(told_by(generate(roomy, large + " --memory 4G"), "memory_plan")["packed_weights"], nullptr);
  EXPECT_EQ(generate(free, large).code, 0);
  EXPECT_TRUE(npy(roomy).data == npy(free).data);
}

TEST(Memory, SaysWhatWouldBeNeeded) {
  const ScratchFolder scratch;
  const Finished f = generate(scratch.path() / "x.npy", large + " --memory 5M");
  EXPECT_EQ(f.code, 1);
  EXPECT_TRUE(f.complains("takes at least")) << f.err;
  EXPECT_TRUE(f.complains("more than the limit of 5 MB")) << f.err;
  for (const char* wrong : {"8", "much", "0G", "120%", "-3G"}) {
    const Finished refused = generate(scratch.path() / "x.npy", std::string("--memory=") + wrong);
    EXPECT_EQ(refused.code, 2) << wrong;
    EXPECT_TRUE(refused.complains("8G, 6500M")) << refused.err;
  }
}

}  // namespace

#include "base/child.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>

namespace prax {
namespace {

TEST(Child, GetsItsWordsAndItsInputAsTheyAre) {
  const std::string odd = "$(id); `id` | 'x' \"y\"\n* ~";
  ChildEnd end = run_child({.words = {"printf", "%s", odd}});
  EXPECT_EQ(end.problem, "");
  EXPECT_EQ(end.output, odd);
  end = run_child({.words = {"cat"}, .input = odd});
  EXPECT_EQ(end.output, odd);
  end = run_child({.words = {"sh", "-c", "printf %s \"$NAME\"; exit 3"}, .environment = {"NAME=" + odd}});
  EXPECT_EQ(end.output, odd);
  EXPECT_EQ(WEXITSTATUS(end.status), 3);
}

TEST(Child, IsEndedWithItsOwnChildren) {
  const auto begin = std::chrono::steady_clock::now();
  const ChildEnd end =
      run_child({.words = {"sh", "-c", "sleep 60 & sleep 60"}, .timeout = std::chrono::milliseconds(200)});
  EXPECT_NE(end.problem.find("took longer"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  EXPECT_NE(run_child({.words = {"/no/such/program"}}).problem, "");
}

TEST(Child, IsEndedHoweverMuchItSays) {
  const auto begin = std::chrono::steady_clock::now();
  const ChildEnd end = run_child({.words = {"yes"}, .timeout = std::chrono::milliseconds(200)});
  EXPECT_NE(end.problem.find("took longer"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST(Child, TellsAllThatItSaysToWhoWantsIt) {
  constexpr size_t all = 1'000'000;
  std::string heard;
  ChildCall call{.words = {"head", "-c", std::to_string(all), "/dev/zero"}};
  call.on_output = [&](std::string_view text) { heard += text; };
  EXPECT_EQ(run_child(call).problem, "");
  EXPECT_EQ(heard, std::string(all, '\0'));
  call.words = {"yes"};
  call.on_output = [](std::string_view) { throw std::length_error("enough"); };
  EXPECT_THROW(run_child(call), std::length_error);
}

TEST(Child, InheritsNoOtherDescriptors) {
  const int kept = ::open("/dev/null", O_RDONLY);  // without O_CLOEXEC, as libraries do it
  ASSERT_GT(kept, 2);
  const std::string look = "test -e /proc/self/fd/" + std::to_string(kept) + " && echo there";
  EXPECT_EQ(run_child({.words = {"sh", "-c", look}}).output, "");
  ::close(kept);
}

}  // namespace
}  // namespace prax

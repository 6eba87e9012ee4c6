#include "tensor/memory.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace prax {
namespace {

constexpr size_t mib = size_t{1} << 20;

TEST(Memory, CountsAndReusesLargeBlocks) {
  release_cached_memory();
  const MemoryUse before = memory_use();
  void* first = nullptr;
  {
    auto block = allocate(8 * mib);
    first = block.get();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % 64, 0u);
    EXPECT_GE(memory_use().current, before.current + 8 * mib);
  }
  EXPECT_EQ(memory_use().current, before.current);
  EXPECT_GE(memory_use().cached, 8 * mib);
  {
    auto again = allocate(8 * mib);
    EXPECT_EQ(again.get(), first);
  }
  release_cached_memory();
  EXPECT_EQ(memory_use().cached, 0u);
}

void touch(const std::shared_ptr<void>& block, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 4096) static_cast<char*>(block.get())[i] = 1;
}

TEST(Memory, ABlockTakesThePagesOfOthers) {
  release_cached_memory();
  reset_peak_memory();
  const MemoryUse before = memory_use();
  for (int turn = 0; turn < 50; ++turn) {  // sizes that come and go, as in the layers of a denoiser
    { touch(allocate(96 * mib), 96 * mib); }
    auto one = allocate(32 * mib), three = allocate(48 * mib);
    touch(one, 32 * mib);
    touch(three, 48 * mib);
    one.reset();
    auto odd = allocate((18 + turn % 4 * 2) * mib);
    touch(odd, 18 * mib);
  }
  EXPECT_LT(memory_use().peak, before.peak + 104 * mib);
  const size_t resident = anonymous_memory();
  release_cached_memory();
  EXPECT_EQ(memory_use().cached, 0u);
  EXPECT_LT(anonymous_memory() + 80 * mib, resident) << "all pages went back";
}

TEST(Memory, ManySizesTakeNoMoreThanTheLargest) {
  release_cached_memory();
  reset_peak_memory();
  const size_t before = memory_use().peak;
  for (int turn = 0; turn < 200; ++turn)
    for (const size_t size : {6, 4, 16, 18, 10, 24, 6, 12, 22, 14, 28, 32, 56, 44}) touch(allocate(size * mib), mib);
  EXPECT_LT(memory_use().peak, before + 64 * mib);
  release_cached_memory();
}

TEST(Memory, PagesMoveWithWhatTheyHold) {
  release_cached_memory();
  const size_t before = anonymous_memory();
  { touch(allocate(64 * mib), 64 * mib); }
  auto block = allocate(40 * mib);
  EXPECT_EQ(static_cast<char*>(block.get())[4096], 1) << "not cleared, so not faulted in again";
  EXPECT_GT(anonymous_memory(), before + 60 * mib);
  release_cached_memory();
  EXPECT_LT(anonymous_memory(), before + 50 * mib);
}

TEST(Memory, PeakIsTheLargestUse) {
  release_cached_memory();
  reset_peak_memory();
  const size_t base = memory_use().peak;
  { auto block = allocate(32 * mib); }
  release_cached_memory();
  EXPECT_GE(memory_use().peak, base + 32 * mib);
  EXPECT_LT(memory_use().peak, base + 40 * mib);
}

TEST(Memory, SaysWhenThereIsNone) {
  try {
    allocate(size_t{1} << 50);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::resource);
  }
}

TEST(Memory, AnonymousMemoryGrowsWithTouchedPages) {
  const size_t before = anonymous_memory();
  auto block = allocate(64 * mib);
  for (size_t i = 0; i < 64 * mib; i += 4096) static_cast<char*>(block.get())[i] = 1;
  EXPECT_GT(anonymous_memory(), before + 48 * mib);
}

}  // namespace
}  // namespace prax

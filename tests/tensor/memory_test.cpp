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

TEST(Memory, GivesBackLargeBlocksAlone) {
  release_cached_memory();
  { auto small = allocate(4 * mib), large = allocate(32 * mib); }
  release_cached_memory(16 * mib);
  EXPECT_EQ(memory_use().cached, 4 * mib);
  release_cached_memory();
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

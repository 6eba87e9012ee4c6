#include "tensor/numa.h"

#include <gtest/gtest.h>

#include <sys/mman.h>

#include <cstring>

namespace prax {
namespace {

TEST(Numa, ReadsTheKernelsLists) {
  using List = std::vector<int>;
  EXPECT_EQ(numbers_in_list("0"), List({0}));
  EXPECT_EQ(numbers_in_list("0-3,8"), List({0, 1, 2, 3, 8}));
  EXPECT_EQ(numbers_in_list("1,3-4"), List({1, 3, 4}));
  for (const char* none : {"", "x", "0-", "3-1", "-1", "0;1", "0,,1"})
    EXPECT_TRUE(numbers_in_list(none).empty()) << none;
}

TEST(Numa, SpreadMemoryIsMemory) {
  constexpr size_t bytes = size_t{4} << 20;
  void* block = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(block, MAP_FAILED);
  spread_over_nodes(block, bytes);
  std::memset(block, 1, bytes);
  EXPECT_EQ(static_cast<char*>(block)[bytes - 1], 1);
  ::munmap(block, bytes);
}

}  // namespace
}  // namespace prax

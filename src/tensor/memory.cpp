#include "tensor/memory.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "base/error.h"

namespace prax {

namespace {

constexpr size_t alignment = 64;
constexpr size_t large = size_t{1} << 20;
constexpr size_t huge_page = size_t{2} << 20;

//! Large blocks by size class; freed ones wait here for the next of the same class.
class Pool {
public:
  void* take(size_t bytes) {
    std::lock_guard lock(mutex_);
    auto it = free_.find(bytes);
    if (it == free_.end()) return nullptr;
    void* block = it->second;
    free_.erase(it);
    use_.cached -= bytes;
    return block;
  }

  void keep(void* block, size_t bytes) {
    std::lock_guard lock(mutex_);
    free_.emplace(bytes, block);
    use_.current -= bytes;
    use_.cached += bytes;
  }

  void count(size_t bytes) {
    std::lock_guard lock(mutex_);
    use_.current += bytes;
    if (use_.current + use_.cached > use_.peak) use_.peak = use_.current + use_.cached;
  }

  void uncount(size_t bytes) {
    std::lock_guard lock(mutex_);
    use_.current -= bytes;
  }

  void release() {
    std::multimap<size_t, void*> blocks;
    {
      std::lock_guard lock(mutex_);
      blocks.swap(free_);
      use_.cached = 0;
    }
    for (auto& [bytes, block] : blocks) ::munmap(block, bytes);
  }

  MemoryUse use() {
    std::lock_guard lock(mutex_);
    return use_;
  }

  void reset_peak() {
    std::lock_guard lock(mutex_);
    use_.peak = use_.current + use_.cached;
  }

private:
  std::mutex mutex_;
  std::multimap<size_t, void*> free_;
  MemoryUse use_;
};

Pool& pool() {
  static Pool& instance = *new Pool;  // outlives every Tensor
  return instance;
}

//! Sizes are rounded so that nearly equal requests share blocks and at most an eighth is lost.
size_t size_class(size_t bytes) {
  size_t step = huge_page;
  while (bytes / step > 16) step *= 2;
  if (bytes < huge_page) step = size_t{1} << 16;
  return (bytes + step - 1) / step * step;
}

[[noreturn]] void out_of_memory(size_t bytes) {
  throw Error(ErrorKind::resource, "not enough memory: " + std::to_string(bytes >> 20) + " MiB more were needed",
              "use a smaller size, fewer frames or --dtype bf16, or close other programs");
}

}  // namespace

std::shared_ptr<void> allocate(size_t bytes) {
  if (bytes < large) {
    const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void* block = std::aligned_alloc(alignment, rounded ? rounded : alignment);
    if (!block) out_of_memory(bytes);
    pool().count(rounded);
    return {block, [rounded](void* p) {
              std::free(p);
              pool().uncount(rounded);
            }};
  }
  const size_t rounded = size_class(bytes);
  void* block = pool().take(rounded);
  if (!block) {
    auto map = [&] { return ::mmap(nullptr, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); };
    block = map();
    if (block == MAP_FAILED) {
      release_cached_memory();
      block = map();
    }
    if (block == MAP_FAILED) out_of_memory(bytes);
    if (rounded >= 2 * huge_page) ::madvise(block, rounded, MADV_HUGEPAGE);
  }
  pool().count(rounded);
  return {block, [rounded](void* p) { pool().keep(p, rounded); }};
}

void release_cached_memory() { pool().release(); }
MemoryUse memory_use() { return pool().use(); }
void reset_peak_memory() { pool().reset_peak(); }

size_t anonymous_memory() {
  std::FILE* status = std::fopen("/proc/self/status", "re");
  if (!status) return 0;
  char line[256];
  size_t kilobytes = 0;
  while (std::fgets(line, sizeof line, status))
    if (std::strncmp(line, "RssAnon:", 8) == 0) kilobytes = std::strtoull(line + 8, nullptr, 10);
  std::fclose(status);
  return kilobytes * 1024;
}

}  // namespace prax

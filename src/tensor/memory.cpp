#include "tensor/memory.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "base/error.h"
#include "tensor/numa.h"
#include "tensor/rehearsal.h"

namespace prax {

//! Large blocks by size class; freed ones wait here for the next of the same class.
class MemoryPool {
public:
  ~MemoryPool() { release(); }

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

  void count_small(size_t bytes) {
    count(bytes);
    std::lock_guard lock(mutex_);
    use_.small += bytes;
  }

  void uncount_small(size_t bytes) {
    std::lock_guard lock(mutex_);
    use_.current -= bytes;
    use_.small -= bytes;
  }

  void release(size_t at_least = 0) {
    std::multimap<size_t, void*> blocks;
    {
      std::lock_guard lock(mutex_);
      const auto first = free_.lower_bound(at_least);
      blocks.insert(first, free_.end());
      free_.erase(first, free_.end());
      for (const auto& [bytes, block] : blocks) use_.cached -= bytes;
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

namespace {

constexpr size_t alignment = 64;
constexpr size_t large = size_t{1} << 20;
constexpr size_t huge_page = size_t{2} << 20;

//! That of a rehearsal in this thread.
thread_local std::shared_ptr<MemoryPool> rehearsed;

//! Shared by the blocks that come from it: they outlive a rehearsal where somebody was careless.
std::shared_ptr<MemoryPool> pool() {
  static const auto& instance = *new std::shared_ptr<MemoryPool>(new MemoryPool);  // outlives every Tensor
  return rehearsed ? rehearsed : instance;
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
  const auto from = pool();
  if (bytes < large) {
    const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void* block = std::aligned_alloc(alignment, rounded ? rounded : alignment);
    if (!block) out_of_memory(bytes);
    if (rehearsed) std::memset(block, 0, rounded);
    from->count_small(rounded);
    return {block, [rounded, from](void* p) {
              std::free(p);
              from->uncount_small(rounded);
            }};
  }
  const size_t rounded = size_class(bytes);
  void* block = from->take(rounded);
  if (!block) {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (rehearsed ? MAP_NORESERVE : 0);
    auto map = [&] { return ::mmap(nullptr, rounded, PROT_READ | PROT_WRITE, flags, -1, 0); };
    block = map();
    if (block == MAP_FAILED) {
      release_cached_memory();
      block = map();
    }
    if (block == MAP_FAILED) out_of_memory(bytes);
    if (!rehearsed) spread_over_nodes(block, rounded);
    if (rounded >= 2 * huge_page) ::madvise(block, rounded, rehearsed ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
  }
  from->count(rounded);
  return {block, [rounded, from](void* p) { from->keep(p, rounded); }};
}

Rehearsal::Rehearsal() { rehearsed = std::make_shared<MemoryPool>(); }
Rehearsal::~Rehearsal() { rehearsed.reset(); }
bool rehearsing() { return rehearsed != nullptr; }

void release_cached_memory(size_t at_least) { pool()->release(at_least); }
MemoryUse memory_use() { return pool()->use(); }
void reset_peak_memory() { pool()->reset_peak(); }

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

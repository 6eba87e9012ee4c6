#include "tensor/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "tensor/numa.h"
#include "tensor/rehearsal.h"

namespace prax {

namespace {

constexpr size_t alignment = 64;
constexpr size_t large = size_t{1} << 20;
constexpr size_t huge_page = size_t{2} << 20;

//! Pages that are the kernel's one mapping.
struct Mapping {
  char* at;
  size_t bytes;
};

//! A large block: mappings that follow each other.
struct Block {
  char* at = nullptr;
  std::vector<size_t> mappings;  //!< their sizes

  size_t bytes() const {
    size_t total = 0;
    for (const size_t m : mappings) total += m;
    return total;
  }
};

}  // namespace

//! Large blocks by size; freed ones wait here for the next of the same size, or for their pages to become part of
//! another one.
class MemoryPool {
public:
  ~MemoryPool() { release(); }

  std::optional<Block> take(size_t bytes) {
    std::lock_guard lock(mutex_);
    auto it = free_.find(bytes);
    if (it == free_.end()) return std::nullopt;
    Block block = std::move(it->second);
    free_.erase(it);
    use_.cached -= bytes;
    return block;
  }

  //! Pages of blocks of any size, as many as there are, up to `bytes`: of the smallest block that has them all, else of
  //! the largest ones.
  std::vector<Mapping> gather(size_t bytes) {
    std::lock_guard lock(mutex_);
    std::vector<Mapping> found;
    while (bytes > 0 && !free_.empty()) {
      auto it = free_.lower_bound(bytes);
      if (it == free_.end()) --it;
      if (it->first < huge_page) break;
      Block block = std::move(it->second);
      free_.erase(it);
      Block rest{block.at, {}};
      for (const size_t mapping : block.mappings) {
        const size_t taken = std::min(mapping, bytes);
        if (taken > 0) found.push_back({rest.at, taken});
        rest.at += taken;
        bytes -= taken;
        use_.cached -= taken;
        if (mapping > taken) rest.mappings.push_back(mapping - taken);
      }
      if (!rest.mappings.empty()) free_.emplace(rest.bytes(), std::move(rest));
    }
    return found;
  }

  void keep(Block block) {
    const size_t bytes = block.bytes();
    std::lock_guard lock(mutex_);
    free_.emplace(bytes, std::move(block));
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

  void release() {
    std::multimap<size_t, Block> blocks;
    {
      std::lock_guard lock(mutex_);
      blocks.swap(free_);
      use_.cached = 0;
    }
    for (auto& [bytes, block] : blocks) ::munmap(block.at, bytes);
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
  std::multimap<size_t, Block> free_;
  MemoryUse use_;
};

namespace {

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

//! Fresh pages at `where`, or anywhere; null if there are none.
char* map(size_t bytes, void* where = nullptr) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (rehearsed ? MAP_NORESERVE : 0) | (where ? MAP_FIXED : 0);
  void* at = ::mmap(where, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  return at == MAP_FAILED ? nullptr : static_cast<char*>(at);
}

//! As map(), on a boundary of huge pages: only there do whole ones move.
char* map_aligned(size_t bytes) {
  char* at = map(bytes + huge_page);
  if (!at) return nullptr;
  const size_t before = (huge_page - reinterpret_cast<uintptr_t>(at) % huge_page) % huge_page;
  if (before > 0) ::munmap(at, before);
  ::munmap(at + before + bytes, huge_page - before);
  return at + before;
}

void set_up(char* at, size_t bytes) {
  if (!rehearsed) spread_over_nodes(at, bytes);
  if (bytes >= 2 * huge_page) ::madvise(at, bytes, rehearsed ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
}

//! A new block, of pages that are kept for reuse first. They move without being copied or cleared, and what a run holds
//! at once decides how much memory it takes, not how many sizes of blocks it has.
Block make(MemoryPool& pool, size_t bytes) {
  constexpr size_t most_mappings = 32;
  std::vector<Mapping> kept;
  if (bytes >= huge_page) kept = pool.gather(bytes);
  if (kept.size() >= most_mappings) {  // the kernel has 65,000 for a process
    for (const Mapping& m : kept) ::munmap(m.at, m.bytes);
    kept.clear();
  }
  Block block{bytes >= huge_page ? map_aligned(bytes) : map(bytes), {}};
  if (!block.at) {
    for (const Mapping& m : kept) ::munmap(m.at, m.bytes);
    kept.clear();
    pool.release();
    block.at = map(bytes);
  }
  if (!block.at) out_of_memory(bytes);
  char* to = block.at;
  for (const Mapping& m : kept) {
    if (::mremap(m.at, m.bytes, m.bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) {
      ::munmap(m.at, m.bytes);
      if (!map(m.bytes, to)) out_of_memory(bytes);
      set_up(to, m.bytes);
    }
    block.mappings.push_back(m.bytes);
    to += m.bytes;
  }
  if (const size_t fresh = bytes - static_cast<size_t>(to - block.at); fresh > 0) {
    set_up(to, fresh);
    block.mappings.push_back(fresh);
  }
  return block;
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
  std::optional<Block> block = from->take(rounded);
  if (!block) block = make(*from, rounded);
  from->count(rounded);
  char* at = block->at;
  return {at, [block = std::move(*block), from](void*) mutable { from->keep(std::move(block)); }};
}

Rehearsal::Rehearsal() { rehearsed = std::make_shared<MemoryPool>(); }
Rehearsal::~Rehearsal() { rehearsed.reset(); }
bool rehearsing() { return rehearsed != nullptr; }

void release_cached_memory() { pool()->release(); }
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

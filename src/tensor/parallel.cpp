#include "tensor/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tensor/rehearsal.h"

namespace prax {

namespace {

//! The cgroup's quota in processors; infinity when there is none.
double cgroup_quota() {
  double quota = INFINITY;
  if (std::ifstream v2("/sys/fs/cgroup/cpu.max"); v2) {
    std::string amount;
    double period = 0;
    if (v2 >> amount >> period && amount != "max" && period > 0) quota = std::atof(amount.c_str()) / period;
  }
  std::ifstream v1("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), v1_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double amount = 0, period = 0;
  if (v1 >> amount && v1_period >> period && amount > 0 && period > 0) quota = std::min(quota, amount / period);
  return quota;
}

thread_local bool inside_pool = false;

//! Looks for a while before it sleeps: the next job mostly follows at once, and waking many threads takes longer than
//! small jobs do.
template <typename T>
void wait_while(const std::atomic<T>& value, T old) {
  constexpr int looks = 1000;  // some 20 microseconds
  for (int i = 0; i < looks; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  value.wait(old, std::memory_order_acquire);
}

//! Workers wait between jobs; a job is one shared counter of pieces. No lock is taken on the way: with a hundred
//! threads they would queue at it.
class ThreadPool {
public:
  explicit ThreadPool(int threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }

  ~ThreadPool() {
    stop_ = true;
    announce();
    for (auto& worker : workers_) worker.join();
  }

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  void run(int64_t count, int64_t piece, const std::function<void(int64_t, int64_t)>& fn) {
    std::lock_guard one_job(job_mutex_);
    fn_ = &fn;
    count_ = count;
    piece_ = piece;
    next_.store(0, std::memory_order_relaxed);
    error_ = nullptr;
    busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    announce();
    take_pieces();
    for (int busy = busy_.load(std::memory_order_acquire); busy > 0; busy = busy_.load(std::memory_order_acquire))
      wait_while(busy_, busy);
    fn_ = nullptr;
    if (error_) std::rethrow_exception(error_);
  }

private:
  //! What was written before is seen by all workers.
  void announce() {
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
  }

  void take_pieces() {
    inside_pool = true;
    try {
      for (;;) {
        const int64_t begin = next_.fetch_add(piece_, std::memory_order_relaxed);
        if (begin >= count_) break;
        (*fn_)(begin, std::min(count_, begin + piece_));
      }
    } catch (...) {
      next_.store(count_, std::memory_order_relaxed);
      std::lock_guard lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
    }
    inside_pool = false;
  }

  void work() {
    for (uint32_t seen = 0;;) {
      wait_while(generation_, seen);
      seen = generation_.load(std::memory_order_acquire);
      if (stop_) return;
      take_pieces();
      if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
    }
  }

  std::mutex job_mutex_, error_mutex_;
  std::vector<std::thread> workers_;
  const std::function<void(int64_t, int64_t)>* fn_ = nullptr;
  int64_t count_ = 0, piece_ = 1;
  std::atomic<int64_t> next_{0};
  std::exception_ptr error_;
  std::atomic<int> busy_{0};
  std::atomic<uint32_t> generation_{0};  //!< of jobs; what the workers wait for
  std::atomic<bool> stop_{false};
};

std::mutex pool_mutex;
std::unique_ptr<ThreadPool> pool_instance;
int wanted_threads = 0;

ThreadPool& thread_pool() {
  std::lock_guard lock(pool_mutex);
  if (!pool_instance) {
    int threads = wanted_threads;
    if (threads <= 0)
      if (const char* text = std::getenv("PRAX_THREADS")) threads = std::atoi(text);
    if (threads <= 0) threads = usable_processors();
    pool_instance = std::make_unique<ThreadPool>(std::min(threads, 1024));
  }
  return *pool_instance;
}

}  // namespace

int usable_processors() {
  cpu_set_t set;
  int processors = static_cast<int>(std::thread::hardware_concurrency());
  if (sched_getaffinity(0, sizeof set, &set) == 0) processors = CPU_COUNT(&set);
  const double quota = cgroup_quota();
  if (quota < processors) processors = static_cast<int>(std::ceil(quota));
  return std::max(1, processors);
}

int thread_count() { return thread_pool().size(); }

void set_thread_count(int count) {
  std::lock_guard lock(pool_mutex);
  wanted_threads = count;
  pool_instance.reset();
}

void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& fn) {
  if (count <= 0 || rehearsing()) return;
  grain = std::max<int64_t>(1, grain);
  if (inside_pool || count <= grain) return fn(0, count);
  ThreadPool& threads = thread_pool();
  if (threads.size() == 1) return fn(0, count);
  // About eight pieces a thread: enough to even out, few enough to cost nothing.
  const int64_t pieces = int64_t{8} * threads.size();
  threads.run(count, std::max(grain, (count + pieces - 1) / pieces), fn);
}

}  // namespace prax

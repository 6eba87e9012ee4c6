#pragma once

#include <cstdint>
#include <functional>

namespace prax {

//! Processors that this process may use: the affinity mask, cut to the cgroup's CPU quota (v1 and v2), at least 1.
int usable_processors();

//! Threads that parallel_for uses, the caller among them. PRAX_THREADS or set_thread_count() override
//! usable_processors(). Set it before the first parallel work.
int thread_count();
void set_thread_count(int count);

//! Calls fn(begin, end) on pieces of [0, count) of at least `grain`, on all threads, and returns when all are done.
//! Pieces are handed out dynamically; results must not depend on who computes what. Called from inside a piece, it
//! runs serially. The first exception is rethrown.
void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t begin, int64_t end)>& fn);

}  // namespace prax

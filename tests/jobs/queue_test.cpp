#include <atomic>
#include <set>

#include "support.h"

namespace prax::jobs::test {
namespace {

class Queue : public StoreTest {
protected:
  std::string claimed_key(const std::string& worker = "w") {
    const auto claim = store_->claim(claim_as(worker));
    return claim ? claim->job.key_id : "";
  }
};

TEST_P(Queue, KeysTakeTurns) {
  const std::string a = new_key(*store_), b = new_key(*store_), c = new_key(*store_);
  for (int i = 0; i < 4; ++i) create(*store_, job_for(a));
  for (int i = 0; i < 2; ++i) create(*store_, job_for(b));
  create(*store_, job_for(c));
  std::vector<std::string> order;
  for (std::string key = claimed_key(); !key.empty(); key = claimed_key()) order.push_back(key);
  ASSERT_EQ(order.size(), 7u);
  EXPECT_EQ(std::set<std::string>(order.begin(), order.begin() + 3), (std::set<std::string>{a, b, c}));
  EXPECT_EQ(std::set<std::string>(order.begin() + 3, order.begin() + 5), (std::set<std::string>{a, b}));
  EXPECT_EQ(order[5], a);
  EXPECT_EQ(order[6], a);
  create(*store_, job_for(a));
  create(*store_, job_for(b));
  EXPECT_EQ(claimed_key(), b) << "a was served last";
}

TEST_P(Queue, EachKeyHasItsOrder) {
  const Job first = create(*store_, job_for());
  std::this_thread::sleep_for(Milliseconds(3));
  const Job second = create(*store_, job_for());
  EXPECT_EQ(store_->jobs_ahead(first.id), 0);
  EXPECT_EQ(store_->jobs_ahead(second.id), 1);
  EXPECT_EQ(store_->claim(claim_as("w"))->job.id, first.id);
  EXPECT_EQ(store_->claim(claim_as("w"))->job.id, second.id);
}

TEST_P(Queue, PrioritiesComeFirst) {
  KeyLimits limits;
  limits.max_priority = 5;
  const std::string urgent = new_key(*store_, limits), usual = new_key(*store_);
  NewJob low = job_for(usual), normal = job_for(usual), high = job_for(urgent);
  low.priority = -1;
  high.priority = 5;
  for (const NewJob& job : {low, normal, high}) create(*store_, job);
  EXPECT_EQ(store_->claim(claim_as("w"))->job.id, high.id);
  EXPECT_EQ(store_->claim(claim_as("w"))->job.id, normal.id);
  EXPECT_EQ(store_->claim(claim_as("w"))->job.id, low.id);
}

TEST_P(Queue, AKeyRunsAtMostItsLimit) {
  KeyLimits limits;
  limits.max_running = 1;
  const std::string key = new_key(*store_, limits);
  create(*store_, job_for(key));
  create(*store_, job_for(key));
  const Claim claim = store_->claim(claim_as("w")).value();
  EXPECT_FALSE(store_->claim(claim_as("w"))) << "the second waits";
  EXPECT_EQ(store_->complete(claim.lease, {}), Standing::ours);
  EXPECT_TRUE(store_->claim(claim_as("w")));
}

TEST_P(Queue, AWorkerGetsWhatItCanRun) {
  NewJob job = job_for();
  job.model = "ltx-video";
  create(*store_, job);
  ClaimOptions options = claim_as("w");
  options.models = {"nano", "mochi"};
  EXPECT_FALSE(store_->claim(options));
  options.models = {"nano", "ltx-video"};
  EXPECT_TRUE(store_->claim(options));
}

TEST_P(Queue, ALostLeasePublishesNothing) {
  const Job job = create(*store_, job_for());
  const Claim slow = store_->claim(claim_as("slow", Milliseconds(0))).value();
  EXPECT_FALSE(slow.resumes);
  EXPECT_EQ(store_->report(slow.lease, Milliseconds(0), at_percent(40)), Standing::ours);
  std::this_thread::sleep_for(Milliseconds(3));
  const Claim quick = store_->claim(claim_as("quick")).value();
  EXPECT_EQ(quick.job.id, job.id);
  EXPECT_TRUE(quick.resumes);
  EXPECT_EQ(quick.job.attempts, 2);
  EXPECT_EQ(quick.job.progress.percent, 40);
  JobOutcome outcome;
  outcome.results = {{"video", "results/old", "video/mp4", 1, ""}};
  EXPECT_EQ(store_->report(slow.lease, Milliseconds(1000), at_percent(90)), Standing::lost);
  EXPECT_EQ(store_->complete(slow.lease, outcome), Standing::lost);
  EXPECT_EQ(store_->fail(slow.lease, {"internal_error", "x"}, {}), Standing::lost);
  EXPECT_EQ(store_->release(slow.lease), Standing::lost);
  EXPECT_EQ(store_->job(job.id)->status, JobStatus::in_progress);
  outcome.results[0].storage_name = "results/new";
  outcome.seconds = 4;
  EXPECT_EQ(store_->complete(quick.lease, outcome), Standing::ours);
  const Job done = store_->job(job.id).value();
  EXPECT_EQ(done.results.at(0).storage_name, "results/new");
  EXPECT_EQ(done.seconds, 4);
  EXPECT_EQ(done.progress.percent, 100);
  EXPECT_EQ(store_->complete(slow.lease, outcome), Standing::lost);
}

TEST_P(Queue, WhatADeadWorkerHeldIsFree) {
  const Job job = create(*store_, job_for());
  const Claim held = store_->claim(claim_as("dead")).value();
  store_->end_leases_of("another");
  EXPECT_FALSE(store_->claim(claim_as("next")));
  store_->end_leases_of("dead");
  store_->end_leases_of("dead");
  const Claim next = store_->claim(claim_as("next")).value();
  EXPECT_EQ(next.job.id, job.id);
  EXPECT_EQ(next.job.attempts, 2) << "one that died is an attempt";
  EXPECT_TRUE(next.resumes);
  EXPECT_EQ(store_->report(held.lease, Milliseconds(1000), at_percent(1)), Standing::lost) << "if it was not dead";
}

TEST_P(Queue, AReportedLeaseLasts) {
  create(*store_, job_for());
  const Claim claim = store_->claim(claim_as("w", Milliseconds(0))).value();
  EXPECT_EQ(store_->report(claim.lease, Milliseconds(60000), at_percent(1)), Standing::ours);
  std::this_thread::sleep_for(Milliseconds(3));
  EXPECT_FALSE(store_->claim(claim_as("other")));
}

TEST_P(Queue, ProgressNeverFallsAndPreviewsComeAlong) {
  const Job job = create(*store_, job_for());
  const Claim claim = store_->claim(claim_as("w")).value();
  JobProgress progress = at_percent(50);
  progress.preview = 3;
  progress.seconds_left = 1.5;
  const std::string picture("\xff\xd8\0jpeg", 7);
  store_->report(claim.lease, Milliseconds(60000), progress, picture);
  store_->report(claim.lease, Milliseconds(60000), at_percent(20));
  EXPECT_EQ(store_->job(job.id)->progress.percent, 50);
  EXPECT_EQ(store_->job(job.id)->progress.step, 20);
  EXPECT_EQ(another()->preview(job.id), picture);
  store_->report(claim.lease, Milliseconds(60000), at_percent(100));
  EXPECT_EQ(store_->job(job.id)->progress.percent, 99) << "100 comes with the result";
  store_->complete(claim.lease, {});
  EXPECT_EQ(store_->preview(job.id), "");
}

TEST_P(Queue, CancelAndDeleteReachTheWorker) {
  const Job a = create(*store_, job_for()), b = create(*store_, job_for());
  const Claim first = store_->claim(claim_as("w")).value(), second = store_->claim(claim_as("w")).value();
  store_->cancel_job(first.job.id, "operator");
  store_->delete_job(second.job.id, "operator");
  for (const Lease& lease : {first.lease, second.lease}) {
    EXPECT_EQ(store_->report(lease, Milliseconds(1000), at_percent(5)), Standing::cancelled);
    EXPECT_EQ(store_->complete(lease, {}), Standing::cancelled);
  }
  EXPECT_TRUE(store_->disposals().empty()) << "the worker may still be writing";
  EXPECT_EQ(store_->release(first.lease), Standing::cancelled);
  EXPECT_EQ(store_->release(second.lease), Standing::cancelled);
  EXPECT_EQ(store_->disposals().size(), 2u);
  EXPECT_EQ(store_->job(first.job.id)->status, JobStatus::cancelled);
  EXPECT_EQ(store_->cancel_job(first.job.id, "operator")->status, JobStatus::cancelled);
}

TEST_P(Queue, AJobThatKillsItsWorkersFails) {
  const Job job = create(*store_, job_for());
  ClaimOptions options = claim_as("w", Milliseconds(0));
  options.max_attempts = 3;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(store_->claim(options)) << i;
    std::this_thread::sleep_for(Milliseconds(3));
  }
  EXPECT_FALSE(store_->claim(options));
  const Job failed = store_->job(job.id).value();
  EXPECT_EQ(failed.status, JobStatus::failed);
  EXPECT_EQ(failed.error.value().code, "worker_crashed");
  EXPECT_EQ(store_->seconds_used_today(local_key_id), 0);
}

TEST_P(Queue, AJobThatGetsFurtherMayBeginOftener) {
  create(*store_, job_for());
  ClaimOptions options = claim_as("w", Milliseconds(0));
  options.max_attempts = 2;
  for (int i = 0; i < 6; ++i) {
    const auto claim = store_->claim(options);
    ASSERT_TRUE(claim) << i;
    store_->report(claim->lease, Milliseconds(0), at_percent(10 * (i + 1)));
    std::this_thread::sleep_for(Milliseconds(3));
  }
}

TEST_P(Queue, AReleasedJobGoesOnFirst) {
  const Job job = create(*store_, job_for());
  std::this_thread::sleep_for(Milliseconds(3));
  create(*store_, job_for(new_key(*store_)));
  const Claim claim = store_->claim(claim_as("w")).value();
  ASSERT_EQ(claim.job.id, job.id);
  EXPECT_EQ(store_->release(claim.lease), Standing::ours);
  EXPECT_EQ(store_->release(claim.lease), Standing::ours) << "asked again after a commit of unknown outcome";
  const Claim again = store_->claim(claim_as("v")).value();
  EXPECT_EQ(again.job.id, job.id);
  EXPECT_TRUE(again.resumes);
  EXPECT_EQ(again.job.attempts, 1) << "a drained attempt is none";
  EXPECT_EQ(store_->release(again.lease, now() + Milliseconds(60000), true), Standing::ours);
  EXPECT_NE(store_->claim(claim_as("v"))->job.id, job.id) << "it waits";
}

TEST_P(Queue, ManyWorkersTakeEachJobOnce) {
  constexpr int jobs = 40, workers = 4;
  for (int i = 0; i < jobs; ++i) create(*store_, job_for());
  std::mutex mutex;
  std::vector<std::string> taken;
  std::vector<std::thread> threads;
  for (int i = 0; i < workers; ++i)
    threads.emplace_back([&, i] {
      const auto own = another();
      while (const auto claim = own->claim(claim_as("w" + std::to_string(i)))) {
        EXPECT_EQ(own->report(claim->lease, Milliseconds(60000), at_percent(50)), Standing::ours);
        EXPECT_EQ(own->complete(claim->lease, {}), Standing::ours);
        const std::lock_guard lock(mutex);
        taken.push_back(claim->job.id);
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(taken.size(), static_cast<size_t>(jobs));
  EXPECT_EQ(std::set<std::string>(taken.begin(), taken.end()).size(), static_cast<size_t>(jobs));
  const QueueStats stats = store_->queue_stats();
  EXPECT_EQ(stats.completed, jobs);
  EXPECT_EQ(stats.queued + stats.in_progress, 0);
  EXPECT_TRUE(verify_audit(*store_).intact);
}

TEST_P(Queue, TheLimitOfAKeyHoldsWithManyWorkers) {
  KeyLimits limits;
  limits.max_running = 2;
  const std::string key = new_key(*store_, limits);
  for (int i = 0; i < 20; ++i) create(*store_, job_for(key));
  std::atomic<int> running{0}, most{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      const auto own = another();
      while (own->queue_stats().queued > 0) {
        const auto claim = own->claim(claim_as("w"));
        if (!claim) continue;
        const int here = ++running;
        int before = most;
        while (here > before && !most.compare_exchange_weak(before, here)) {
        }
        std::this_thread::sleep_for(Milliseconds(2));
        --running;
        own->complete(claim->lease, {});
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_LE(most, 2);
  EXPECT_GE(most, 1);
}

PRAX_FOR_EACH_STORE(Queue);

}  // namespace
}  // namespace prax::jobs::test

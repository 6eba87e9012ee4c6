#include "support.h"

// Jobs that are made from others, and wait for them.
namespace prax::jobs::test {
namespace {

class Waiting : public StoreTest {
protected:
  //! A job that goes on with the other's video.
  NewJob after(const std::vector<std::string>& ids) {
    NewJob job = job_for();
    for (const std::string& id : ids)
      job.inputs.push_back({"clip-" + id.substr(6, 4), result_of(id), "video/mp4", 0, ""});
    job.waits_for = ids;
    return job;
  }

  void complete(const Claim& claim) {
    const JobOutcome outcome{.results = {{"video", "results/" + claim.job.id + "/1/video.mp4", "video/mp4", 10, "abc"}},
                             .cost = {},
                             .expires_at = {}};
    ASSERT_EQ(store_->complete(claim.lease, outcome), Standing::ours);
  }
};

TEST_P(Waiting, IsClaimedWhenAllOthersAreCompleted) {
  const Job first = create(*store_, job_for()), second = create(*store_, job_for());
  const Job whole = create(*store_, after({first.id, second.id}));
  EXPECT_EQ(whole.waits_for, (std::vector{first.id, second.id}));
  for (int i = 0; i < 2; ++i) {
    const auto claim = store_->claim(claim_as("w"));
    ASSERT_TRUE(claim);
    EXPECT_NE(claim->job.id, whole.id);
    EXPECT_FALSE(i == 1 && store_->claim(claim_as("other"))) << "it did not wait";
    complete(*claim);
  }
  const auto claim = store_->claim(claim_as("w"));
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->job.id, whole.id);
  for (const InputFile& input : claim->job.inputs) {
    EXPECT_TRUE(input.storage_name.starts_with("results/video_")) << input.storage_name;
    EXPECT_EQ(input.sha256, "abc");
  }
}

TEST_P(Waiting, IsMadeTogetherWithTheOthersOrNotAtAll) {
  KeyLimits limits;
  limits.max_queued = 3;
  const std::string key = new_key(*store_, limits);
  const NewJob first = job_for(key), second = job_for(key);
  NewJob whole = after({first.id, second.id});
  whole.key_id = key;
  whole.idempotency_key = "board";
  whole.request_hash = "h1";
  const Accepted made = store_->create_jobs({first, second, whole}, {});
  ASSERT_EQ(made.refusal, Refusal::none) << made.reason;
  EXPECT_EQ(made.job.value().id, whole.id);
  EXPECT_EQ(made.job->waits_for.size(), 2u);
  EXPECT_EQ(store_->job(first.id)->status, JobStatus::queued);

  const NewJob again = job_for(key);
  NewJob other_whole = after({again.id});
  other_whole.key_id = key;
  other_whole.idempotency_key = "board";
  other_whole.request_hash = "h1";
  const Accepted replay = store_->create_jobs({again, other_whole}, {});
  EXPECT_TRUE(replay.replayed);
  EXPECT_EQ(replay.job.value().id, whole.id);
  EXPECT_FALSE(store_->job(again.id));

  store_->cancel_job(first.id, key);  // and with it the whole: one of three waits
  const double used = store_->seconds_used_today(key);
  other_whole.idempotency_key = "another";
  other_whole.waits_for.clear();
  EXPECT_EQ(store_->create_jobs({again, job_for(key), other_whole}, {}).refusal, Refusal::key_queue_full);
  EXPECT_FALSE(store_->job(again.id)) << "one was made, and the others refused";
  EXPECT_EQ(store_->seconds_used_today(key), used);
  EXPECT_EQ(store_->create_jobs({again, other_whole}, {}).refusal, Refusal::none);
}

TEST_P(Waiting, TakesWhatIsCompletedAlready) {
  const Job first = create(*store_, job_for());
  complete(*store_->claim(claim_as("w")));
  const Job next = create(*store_, after({first.id}));
  EXPECT_EQ(next.inputs.at(0).storage_name, "results/" + first.id + "/1/video.mp4");
  EXPECT_EQ(store_->claim(claim_as("w"))->job.id, next.id);
}

TEST_P(Waiting, FailsWithWhatItWaitsForAndSoOn) {
  const Job first = create(*store_, job_for());
  const Job second = create(*store_, after({first.id})), third = create(*store_, after({second.id}));
  store_->cancel_job(first.id, local_key_id);
  for (const Job& waiting : {second, third}) {
    const auto job = store_->job(waiting.id);
    EXPECT_EQ(job->status, JobStatus::failed);
    EXPECT_EQ(job->error->code, "source_failed");
  }
  EXPECT_FALSE(store_->claim(claim_as("w")));
  EXPECT_EQ(store_->seconds_used_today(local_key_id), 0) << "what was never made was charged";
}

TEST_P(Waiting, FailsWhenWhatItWaitsForIsDeletedOrGone) {
  const Job first = create(*store_, job_for());
  const Job second = create(*store_, after({first.id}));
  store_->delete_job(first.id, local_key_id);
  EXPECT_EQ(store_->job(second.id)->status, JobStatus::failed);
  EXPECT_EQ(create(*store_, after({first.id})).status, JobStatus::failed);
}

TEST_P(Waiting, KeepsNoOtherKeyFromItsTurn) {
  const std::string a = new_key(*store_), b = new_key(*store_);
  const Job running = create(*store_, job_for(a));
  const auto claim = store_->claim(claim_as("w"));
  NewJob waits = after({running.id});
  waits.key_id = a;
  create(*store_, waits);
  const Job other = create(*store_, job_for(b));
  EXPECT_EQ(store_->claim(claim_as("w2"))->job.id, other.id);
}

TEST_P(Waiting, FamiliesAreWhatItCameFromAndWhatCameFromIt) {
  NewJob child = job_for(), sibling = job_for(), grandchild = job_for();
  const Job root = create(*store_, job_for());
  child.kind = JobKind::remix;
  child.source_id = root.id;
  sibling.more_sources = {{root.id, "again"}};
  grandchild.kind = JobKind::cut;
  grandchild.source_id = child.id;
  for (const NewJob& job : {child, sibling, grandchild}) create(*store_, job);
  const auto ids = [](const Family& family) {
    std::vector<std::string> list;
    for (const Job& job : family.jobs) list.push_back(job.id);
    return list;
  };
  const Family of_child = store_->family(child.id, "", 200);
  EXPECT_EQ(ids(of_child), (std::vector{child.id, root.id, grandchild.id}));
  ASSERT_EQ(of_child.edges.size(), 2u);
  EXPECT_EQ(of_child.edges[0].kind, "remix");
  EXPECT_EQ(of_child.edges[1].kind, "cut");
  EXPECT_EQ(ids(store_->family(root.id, "", 200)).size(), 4u);
  store_->delete_job(root.id, local_key_id);
  for (const auto& disposal : store_->disposals()) store_->disposed(disposal);
  EXPECT_EQ(store_->family(child.id, "", 200).deleted, std::vector{root.id});
  EXPECT_TRUE(store_->family(child.id, "key_other", 200).jobs.empty());
}

PRAX_FOR_EACH_STORE(Waiting);

}  // namespace
}  // namespace prax::jobs::test

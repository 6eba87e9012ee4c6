#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <set>

#include "base/error.h"
#include "jobs/database.h"
#include "support.h"

namespace prax::jobs::test {
namespace {

class StoredJobs : public StoreTest {};

TEST_P(StoredJobs, ComeBackAsTheyWereGiven) {
  NewJob given = job_for();
  given.kind = JobKind::remix;
  given.prompt = "eine rote Wolke, ruhig \"gezeichnet\" ☁\n";
  given.settings.seed = 18446744073709551615U;
  given.settings.guidance = 3.25;
  given.settings.conditions = {{"condition-1", 8, 0.5}};
  given.settings.shots = {{"first", 1.5}};
  given.settings.loras = {{"ink", -0.25}};
  given.settings.arguments = {{"max_sequence_length", 64}};
  given.inputs = {{"video", "inputs/" + given.id + "/video.mp4", "video/mp4", 1234, "ab"}};
  given.metadata = {{"project", "x"}};
  given.webhook_url = "https://example.org/hook";
  given.source_id = "video_1";
  given.seconds = 2.0833333333333335;
  const Job job = create(*store_, given);
  const Job again = another()->job(given.id).value();
  for (const Job& j : {job, again}) {
    EXPECT_EQ(j.kind, JobKind::remix);
    EXPECT_EQ(j.status, JobStatus::queued);
    EXPECT_EQ(j.prompt, given.prompt);
    EXPECT_TRUE(j.settings == given.settings);
    EXPECT_EQ(j.seconds, given.seconds);
    ASSERT_EQ(j.inputs.size(), 1u);
    EXPECT_EQ(j.inputs[0].bytes, 1234u);
    EXPECT_EQ(j.metadata, given.metadata);
    EXPECT_EQ(j.webhook_url, given.webhook_url);
    EXPECT_EQ(j.source_id, given.source_id);
    EXPECT_EQ(j.requested_model, "sora-2");
    EXPECT_FALSE(j.started_at || j.completed_at || j.error);
  }
  EXPECT_EQ(store_->stored_bytes(), 1234u);
}

TEST_P(StoredJobs, TextThatIsNoneIsRefused) {
  NewJob job = job_for();
  job.prompt = std::string("a\0b", 3);
  EXPECT_THROW(store_->create_job(job, {}), Error);
  job.prompt = "\xff";
  EXPECT_THROW(store_->create_job(job, {}), Error);
}

TEST_P(StoredJobs, CreatedTwiceIsOneJob) {
  const NewJob job = job_for();
  create(*store_, job);
  create(*store_, job);  // as after a commit of unknown outcome
  EXPECT_EQ(store_->jobs({}).jobs.size(), 1u);
  EXPECT_EQ(store_->seconds_used_today(local_key_id), 2);
}

TEST_P(StoredJobs, AnIdempotencyKeyMakesOneJob) {
  NewJob job = job_for();
  job.idempotency_key = "once";
  job.request_hash = "h1";
  create(*store_, job);
  NewJob second = job;
  second.id = new_job_id();
  const Accepted replay = store_->create_job(second, {});
  EXPECT_TRUE(replay.replayed);
  EXPECT_EQ(replay.job.value().id, job.id);
  second.request_hash = "h2";
  EXPECT_EQ(store_->create_job(second, {}).refusal, Refusal::idempotency_mismatch);
  second.key_id = new_key(*store_);  // another key's "once" is another one
  EXPECT_EQ(store_->create_job(second, {}).refusal, Refusal::none);
}

TEST_P(StoredJobs, LimitsRefuse) {
  KeyLimits limits;
  limits.max_queued = 2;
  limits.daily_seconds = 5;
  const std::string key = new_key(*store_, limits);
  create(*store_, job_for(key));
  const Job second = create(*store_, job_for(key));
  EXPECT_EQ(store_->create_job(job_for(key), {}).refusal, Refusal::key_queue_full);
  store_->cancel_job(second.id, key);
  EXPECT_EQ(store_->seconds_used_today(key), 2) << "a cancelled job is given back";
  const Accepted over = store_->create_job(job_for(key, 3.5), {});
  EXPECT_EQ(over.refusal, Refusal::daily_budget);
  EXPECT_GT(over.retry_at.value(), now());
  EXPECT_EQ(store_->create_job(job_for(key, 3), {}).refusal, Refusal::none);
  Admission admission;
  admission.max_queued = 2;
  EXPECT_EQ(store_->create_job(job_for(), admission).refusal, Refusal::queue_full);
  NewJob urgent = job_for(new_key(*store_));
  urgent.priority = 1;
  EXPECT_EQ(store_->create_job(urgent, {}).refusal, Refusal::priority);
}

TEST_P(StoredJobs, StorageQuotaRefuses) {
  NewJob job = job_for();
  job.inputs = {{"image", "inputs/" + job.id + "/a.png", "image/png", 1000, ""}};
  create(*store_, job);
  Admission admission;
  admission.max_stored_bytes = 1000;
  EXPECT_EQ(store_->create_job(job_for(), admission).refusal, Refusal::storage_full);
  admission.max_stored_bytes = 1001;
  EXPECT_EQ(store_->create_job(job_for(), admission).refusal, Refusal::none);
}

TEST_P(StoredJobs, ArePagedWithoutGapsAndWithoutOthers) {
  const std::string mine = new_key(*store_), other = new_key(*store_);
  std::vector<std::string> made;
  for (int i = 0; i < 7; ++i) {
    made.push_back(create(*store_, job_for(mine)).id);
    create(*store_, job_for(other));
  }
  for (const bool newest_first : {true, false}) {
    std::vector<std::string> seen;
    JobQuery query;
    query.key_id = mine;
    query.limit = 3;
    query.newest_first = newest_first;
    for (;;) {
      const JobPage page = store_->jobs(query);
      for (const Job& job : page.jobs) seen.push_back(job.id);
      if (!page.has_more) break;
      query.after = seen.back();
    }
    auto sorted = seen;
    std::sort(sorted.begin(), sorted.end());
    auto wanted = made;
    std::sort(wanted.begin(), wanted.end());
    EXPECT_EQ(sorted, wanted);
    const Time first = store_->job(seen.front())->created_at, last = store_->job(seen.back())->created_at;
    EXPECT_TRUE(newest_first ? first >= last : first <= last);
  }
  JobQuery query;
  query.key_id = other;
  query.after = made.front();
  EXPECT_FALSE(store_->jobs(query).known_after) << "another key's job";
  query.after = "video_none";
  EXPECT_FALSE(store_->jobs(query).known_after);
  query = {};
  query.statuses = {JobStatus::completed, JobStatus::failed};
  EXPECT_TRUE(store_->jobs(query).jobs.empty());
}

TEST_P(StoredJobs, ChangesAreToldOnceInOrder) {
  const int64_t before = store_->latest_version();
  const Job a = create(*store_, job_for()), b = create(*store_, job_for());
  auto changes = store_->changed_jobs(before);
  ASSERT_EQ(changes.jobs.size(), 2u);
  EXPECT_EQ(changes.jobs[0].id, a.id);
  EXPECT_EQ(changes.version, store_->latest_version());
  EXPECT_TRUE(store_->changed_jobs(changes.version).jobs.empty());
  EXPECT_EQ(store_->changed_jobs(before, a.key_id).jobs.size(), 2u);
  EXPECT_TRUE(store_->changed_jobs(before, "key_of_nobody").jobs.empty());
  store_->delete_job(b.id, "operator");
  store_->cancel_job(a.id, "operator");
  changes = store_->changed_jobs(changes.version);
  ASSERT_EQ(changes.jobs.size(), 1u);
  EXPECT_EQ(changes.jobs[0].status, JobStatus::cancelled);
  ASSERT_EQ(changes.deleted.size(), 1u);
  EXPECT_EQ(changes.deleted[0].job_id, b.id);
  EXPECT_EQ(changes.deleted[0].key_id, b.key_id);
  EXPECT_GT(changes.deleted[0].version, b.version);
}

TEST_P(StoredJobs, ChangesAreCompleteWithManyWriters) {
  constexpr int writers = 4, each = 15;
  const int64_t before = store_->latest_version();
  std::atomic<int> left{writers};
  std::vector<std::thread> threads;
  for (int i = 0; i < writers; ++i)
    threads.emplace_back([&] {
      const auto own = another();
      for (int j = 0; j < each; ++j) create(*own, job_for());
      --left;
    });
  std::set<std::string> seen;
  int64_t version = before;
  for (bool last = false; !last;) {
    last = left == 0;
    const auto changes = store_->changed_jobs(version, "", 7);
    for (const Job& job : changes.jobs) EXPECT_TRUE(seen.insert(job.id).second) << "told twice";
    version = changes.version;
    last = last && changes.jobs.empty();
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(seen.size(), static_cast<size_t>(writers * each));
}

TEST_P(StoredJobs, DeletedOnesAreGoneAtOnceAndTheirFilesFollow) {
  const Job job = create(*store_, job_for());
  EXPECT_TRUE(store_->delete_job(job.id, "operator"));
  EXPECT_FALSE(store_->delete_job(job.id, "operator"));
  EXPECT_FALSE(store_->job(job.id));
  EXPECT_TRUE(store_->jobs({}).jobs.empty());
  EXPECT_FALSE(store_->claim(claim_as("w")));
  const auto disposals = store_->disposals();
  ASSERT_EQ(disposals.size(), 1u);
  EXPECT_TRUE(disposals[0].deleted);
  store_->disposed(disposals[0]);
  EXPECT_TRUE(store_->disposals().empty());
}

TEST_P(StoredJobs, ResultsExpire) {
  const Job job = create(*store_, job_for());
  const Claim claim = store_->claim(claim_as("w")).value();
  JobOutcome outcome;
  outcome.results = {{"video", "results/x/1/video.mp4", "video/mp4", 100, "ab"}};
  outcome.expires_at = now() - Milliseconds(1);
  EXPECT_EQ(store_->complete(claim.lease, outcome), Standing::ours);
  EXPECT_EQ(store_->stored_bytes(), 100u);
  const auto disposals = store_->disposals();
  ASSERT_EQ(disposals.size(), 1u);
  EXPECT_FALSE(disposals[0].deleted);
  store_->disposed(disposals[0]);
  const Job expired = store_->job(job.id).value();
  EXPECT_TRUE(expired.expired);
  EXPECT_TRUE(expired.results.empty());
  EXPECT_EQ(store_->stored_bytes(), 0u);
}

TEST_P(StoredJobs, EventsAreWrittenWithTheEnd) {
  const std::string key = new_key(*store_);
  WebhookEndpoint endpoint;
  endpoint.id = new_endpoint_id();
  endpoint.key_id = key;
  endpoint.url = "https://example.org/all";
  endpoint.event_types = {"video.completed", "video.failed"};
  endpoint.secret = new_webhook_secret();
  store_->put_webhook(endpoint);
  NewJob job = job_for(key);
  job.webhook_url = "https://example.org/one";
  create(*store_, job);
  EXPECT_TRUE(store_->claim_deliveries(10, Milliseconds(60000)).empty());
  const Claim claim = store_->claim(claim_as("w")).value();
  EXPECT_EQ(store_->complete(claim.lease, {}), Standing::ours);
  EXPECT_EQ(store_->complete(claim.lease, {}), Standing::ours) << "asked again after a commit of unknown outcome";
  const auto due = store_->claim_deliveries(10, Milliseconds(60000));
  ASSERT_EQ(due.size(), 2u);
  EXPECT_EQ(due[0].event_id, due[1].event_id);
  const auto body = nlohmann::json::parse(due[0].body);
  EXPECT_EQ(body["type"], "video.completed");
  EXPECT_EQ(body["data"]["id"], job.id);
  EXPECT_TRUE(another()->claim_deliveries(10, Milliseconds(60000)).empty()) << "handed out already";
  store_->finish_delivery(due[0].id, true, {}, "");
  store_->finish_delivery(due[1].id, false, now() - Milliseconds(1), "HTTP 503");
  const auto again = store_->claim_deliveries(10, Milliseconds(60000));
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].attempts, 1);
  EXPECT_EQ(again[0].last_error, "HTTP 503");
  store_->finish_delivery(again[0].id, false, {}, "HTTP 410");
  EXPECT_TRUE(store_->claim_deliveries(10, Milliseconds(60000)).empty());
  EXPECT_TRUE(store_->delete_webhook(endpoint.id));
  EXPECT_TRUE(store_->webhooks(key).empty());
}

TEST_P(StoredJobs, ANewerSchemaIsRefused) {
  const auto raw = std::string(GetParam()) == "sqlite" ? open_sqlite(where_, {}) : open_postgres(where_, {});
  raw->begin(true);
  raw->run("UPDATE prax_schema SET version = 1000");
  raw->commit();
  try {
    another();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
  }
}

TEST_P(StoredJobs, CharactersBelongToAKey) {
  Character c;
  c.id = new_character_id();
  c.key_id = new_key(*store_);
  c.name = "Otter";
  c.clip = {"clip", "inputs/" + c.id + "/clip.mp4", "video/mp4", 5, "ab"};
  c.created_at = now();
  store_->create_character(c);
  EXPECT_EQ(store_->character(c.id).value().clip.storage_name, c.clip.storage_name);
  EXPECT_EQ(store_->characters(c.key_id).size(), 1u);
  EXPECT_TRUE(store_->characters(local_key_id).empty());
  EXPECT_EQ(store_->stored_bytes(), 5u) << "characters are no way around the quota";
  Admission admission;
  admission.max_stored_bytes = 5;
  EXPECT_EQ(store_->create_job(job_for(), admission).refusal, Refusal::storage_full);
}

// Closing a descriptor of the file would drop the locks of all connections of this process.
TEST(SqliteStore, KeepsItsLogWhenAnotherProcessLeaves) {
  const ScratchFolder folder;
  const std::string file = (folder.path() / "prax.db").string();
  const auto first = open_store(file), second = open_store(file);
  first->ping();
  const pid_t child = ::fork();
  if (child == 0) {
    open_store(file)->ping();
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  EXPECT_TRUE(std::filesystem::exists(file + "-wal"));
}

PRAX_FOR_EACH_STORE(StoredJobs);

TEST(SqliteStore, ItsFileIsPrivate) {
  const ScratchFolder folder;
  const auto file = folder.path() / "prax.db";
  open_store(file.string());
  EXPECT_EQ(std::filesystem::status(file).permissions() & std::filesystem::perms::all,
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST(SqliteStore, AnotherFileIsRefused) {
  const ScratchFolder folder;
  const auto file = folder.path() / "prax.db";
  std::ofstream(file) << std::string(10000, 'x');
  try {
    open_store(file.string());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input) << error.what();
  }
}

TEST(PostgresStore, SurvivesARestartOfTheDatabase_postgresql) {
  const std::string url = PrivatePostgres::new_database();
  if (url.empty()) GTEST_SKIP() << "PostgreSQL's server is not installed (Debian's package postgresql)";
  const auto store = open_store(url);
  std::atomic<bool> stop{false};
  std::vector<std::string> made;
  std::thread writer([&] {
    while (!stop) made.push_back(create(*store, job_for()).id);
  });
  for (int i = 0; i < 2; ++i) {
    std::this_thread::sleep_for(Milliseconds(150));
    PrivatePostgres::restart();
  }
  stop = true;
  writer.join();
  EXPECT_GT(made.size(), 10u);
  for (const std::string& id : made) EXPECT_TRUE(store->job(id)) << "lost " << id;
  EXPECT_TRUE(verify_audit(*store).intact);
  EXPECT_EQ(store->queue_stats().queued, static_cast<int64_t>(made.size())) << "something was made twice";
}

TEST(PostgresStore, ADatabaseThatIsNotThereIsSaid_postgresql) {
  StoreOptions options;
  options.patience = Milliseconds(300);
  try {
    open_store("postgresql://someone:secret@127.0.0.1:1/none", options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::io);
    EXPECT_EQ(std::string(error.what()).find("secret"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace prax::jobs::test

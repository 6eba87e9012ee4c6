// `prax worker`, `prax keys` and `prax audit` as processes: killed at any moment, told to leave, run beside each other.

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <chrono>
#include <map>
#include <random>
#include <thread>

#include "base/hash.h"
#include "jobs/data_folder.h"
#include "jobs/database.h"
#include "jobs/support.h"
#include "run_prax.h"

extern char** environ;

namespace {

namespace fs = std::filesystem;
namespace jobs = prax::jobs;
using prax::jobs::Milliseconds;
using prax::jobs::test::eventually;
using prax::jobs::test::PrivatePostgres;

//! A program that runs beside the test.
class Process {
public:
  explicit Process(const std::vector<std::string>& arguments) {
    std::vector<char*> words{const_cast<char*>(PRAX_BINARY)};
    for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
    words.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (const int descriptor : {0, 1, 2})
      posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0);
    EXPECT_EQ(posix_spawn(&pid_, PRAX_BINARY, &actions, nullptr, words.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
  }
  ~Process() {
    if (pid_ > 0) end(SIGKILL);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  //! Sends the signal and waits; the exit code, or -1 when the signal ended it.
  int end(int signal) {
    ::kill(pid_, signal);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

private:
  pid_t pid_ = -1;
};

jobs::NewJob job_with_seed(uint64_t seed) {
  jobs::NewJob job = jobs::test::job_for();
  job.settings.seed = seed;
  job.settings.steps = 12;
  return job;
}

std::string sha_of_video(jobs::Store& store, const std::string& id) {
  const jobs::Job job = store.job(id).value();
  EXPECT_EQ(job.status, jobs::JobStatus::completed) << id << (job.error ? ": " + job.error->message : "");
  return job.results.empty() ? "" : job.results.front().sha256;
}

size_t files_below(const fs::path& folder) {
  size_t count = 0;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error)) count += entry.is_regular_file();
  return count;
}

class CrashLoop : public testing::TestWithParam<const char*> {
protected:
  void run(int crashes, int most_jobs);
};

//! Workers are killed at random moments while jobs come in. PRAX_CRASHES=50 does it oftener.
void CrashLoop::run(int crashes, int most_jobs) {
  const ScratchFolder scratch;
  const fs::path data = scratch.path() / "data", calm = scratch.path() / "calm";
  const bool sqlite = std::string(GetParam()) == "sqlite";
  const std::string database = sqlite ? "" : PrivatePostgres::new_database();
  if (!sqlite && database.empty()) GTEST_SKIP() << "PostgreSQL's server is not installed (Debian's package postgresql)";

  constexpr uint64_t seeds = 3;
  std::map<uint64_t, std::string> expected;
  {
    const auto store = jobs::DataFolder(calm).open_store();
    std::map<uint64_t, std::string> ids;
    for (uint64_t seed = 0; seed < seeds; ++seed) ids[seed] = jobs::test::create(*store, job_with_seed(seed)).id;
    ASSERT_EQ(run_prax("worker --once --data " + calm.string()).code, 0);
    for (const auto& [seed, id] : ids) expected[seed] = sha_of_video(*store, id);
  }

  const jobs::DataFolder folder(data);
  const auto store = folder.open_store(database);
  std::map<std::string, uint64_t> made;
  const auto add = [&] {
    const uint64_t seed = made.size() % seeds;
    made[jobs::test::create(*store, job_with_seed(seed)).id] = seed;
  };
  add();
  add();
  std::vector<std::string> arguments = {"worker", "--data", data.string(), "--lease", "1", "--max-attempts", "1000"};
  if (!sqlite) arguments.insert(arguments.end(), {"--database", database});
  std::mt19937 random(20261);  // NOLINT(cert-msc51-cpp): the same moments each time
  for (int i = 0; i < crashes; ++i) {
    // Two at once, so that one takes over what the other dropped.
    Process first(arguments), second(arguments);
    std::this_thread::sleep_for(Milliseconds(50 + random() % 1500));
    first.end(SIGKILL);
    std::this_thread::sleep_for(Milliseconds(random() % 1500));
    second.end(SIGKILL);
    if (static_cast<int>(made.size()) < most_jobs) add();
    if (!sqlite && i % 3 == 2) PrivatePostgres::restart();
  }
  Process last(arguments);
  const auto all_over = [&] {
    const jobs::QueueStats stats = store->queue_stats();
    return stats.queued + stats.in_progress == 0;
  };
  for (int i = 0; i < 12 && !all_over(); ++i) eventually(all_over);
  EXPECT_EQ(last.end(SIGTERM), 0);

  for (const auto& [id, seed] : made) {
    EXPECT_EQ(sha_of_video(*store, id), expected[seed]) << id;
    const jobs::Job job = store->job(id).value();
    for (const jobs::ResultFile& file : job.results)
      EXPECT_EQ(prax::hex(prax::sha256_of_file(folder.storage() / file.storage_name)), file.sha256);
  }
  std::map<std::string, int> completed;
  for (const jobs::AuditEntry& e : store->audit_entries(0, 100000))
    if (e.event.action == "job.completed") ++completed[e.event.subject];
  EXPECT_EQ(completed.size(), made.size());
  for (const auto& [id, times] : completed) EXPECT_EQ(times, 1) << id << " was made twice";
  EXPECT_EQ(store->jobs({"", "", 1000}).jobs.size(), made.size());
  EXPECT_EQ(files_below(folder.storage() / "results"), 3 * made.size()) << "something was left half written";
  EXPECT_EQ(files_below(folder.storage() / "runs"), 0u);
  EXPECT_TRUE(jobs::verify_audit(*store).intact);
}

TEST_P(CrashLoop, LosesNothingAndMakesNothingTwice) {
  const char* wanted = std::getenv("PRAX_CRASHES");
  const int crashes = wanted ? std::atoi(wanted) : 4;
  run(crashes, 2 + crashes);
}

INSTANTIATE_TEST_SUITE_P(Stores, CrashLoop, testing::Values("sqlite", "postgresql"),
                         [](const auto& i) { return std::string(i.param); });

TEST(WorkerProcess, LeavesOnSigtermWithTheRunSaved) {
  const ScratchFolder scratch;
  const jobs::DataFolder folder(scratch.path() / "data");
  const auto store = folder.open_store();
  jobs::NewJob job = job_with_seed(1);
  job.settings.steps = 1000;
  jobs::test::create(*store, job);
  Process worker({"worker", "--data", folder.path().string()});
  ASSERT_TRUE(eventually([&] { return store->job(job.id)->progress.step >= 2; }));
  const auto told = std::chrono::steady_clock::now();
  EXPECT_EQ(worker.end(SIGTERM), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - told, std::chrono::seconds(5));
  EXPECT_TRUE(fs::exists(folder.storage() / "runs" / job.id / "run.prax"));
  const auto claim = store->claim(jobs::test::claim_as("next"));
  ASSERT_TRUE(claim) << "the lease was given back";
  EXPECT_TRUE(claim->resumes);
}

//! With several connections here, another process that comes and goes must not take the database for left: it would
//! delete the log that these go on writing to, and nobody else would see what follows.
TEST(WorkerProcess, AProcessThatLeavesTakesNothingAlong) {
  const ScratchFolder scratch;
  const jobs::DataFolder folder(scratch.path() / "data");
  const auto first = folder.open_store(), second = folder.open_store();
  const std::string data = " --data " + folder.path().string();
  ASSERT_EQ(run_prax("keys list" + data).code, 0);
  const std::string id = jobs::test::create(*second, job_with_seed(1)).id;
  ASSERT_EQ(run_prax("worker --once" + data).code, 0);
  EXPECT_EQ(first->job(id)->status, jobs::JobStatus::completed);
}

TEST(WorkerProcess, SaysWhatIsWrong) {
  const ScratchFolder scratch;
  const std::string data = " --data " + (scratch.path() / "data").string();
  const struct {
    std::string arguments, says;
  } cases[] = {
      {"worker --retention soon" + data, "--retention"},
      {"worker --lease 0.1" + data, "--lease"},
      {"worker --model nonsense" + data, "NAME=VALUE"},
      {"worker --alias sora-2=none" + data, "none"},
      {"worker --storage s3://" + data, "bucket"},
      {"keys list --data " + (scratch.path() / "none").string(), "no jobs and keys"},
      {"keys create" + data, "NAME"},
      {"keys create x --scopes write" + data, "create, read, delete"},
      {"keys creat x" + data, "keys"},
      {"audit verify --data " + (scratch.path() / "none").string(), "no jobs and keys"},
  };
  for (const auto& each : cases) {
    const Finished f = run_prax(each.arguments);
    EXPECT_EQ(f.code, 2) << each.arguments << f.err;
    EXPECT_TRUE(f.complains(each.says)) << each.arguments << ": " << f.err;
  }
}

TEST(KeysCommand, MakesListsRotatesAndRevokes) {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path() / "data";
  const std::string data = " --data " + folder.string();
  const auto line = [](const Finished& f) {
    EXPECT_EQ(f.code, 0) << f.err;
    const auto lines = f.lines();
    EXPECT_EQ(lines.size(), 1u);
    return lines.empty() ? nlohmann::json() : lines.front();
  };
  const auto made =
      line(run_prax("keys create Ada --json --note studio --models nano --rate 60 --daily-seconds 90" + data));
  const std::string id = made["id"], secret = made["key"];
  EXPECT_TRUE(jobs::is_well_formed_secret(secret));
  EXPECT_EQ(made["scopes"], "create,read,delete");
  EXPECT_EQ(made["models"], nlohmann::json::array({"nano"}));
  const auto list = line(run_prax("keys list --json" + data));
  ASSERT_EQ(list["keys"].size(), 1u);
  EXPECT_EQ(list["keys"][0]["requests_per_minute"], 60);
  EXPECT_EQ(list.dump().find(secret), std::string::npos);
  EXPECT_TRUE(run_prax("keys list" + data).says("Ada"));

  const auto store = jobs::open_store((folder / "prax.db").string());  // as a server that runs
  const auto rotated = line(run_prax("keys rotate " + id + " --json" + data));
  EXPECT_EQ(rotated["id"], id);
  EXPECT_FALSE(store->key_of_hash(jobs::hash_of_secret(secret)));
  EXPECT_TRUE(store->key_of_hash(jobs::hash_of_secret(rotated["key"].get<std::string>())));

  jobs::test::create(*store, jobs::test::job_for(id));
  const auto revoked = line(run_prax("keys revoke " + id + " --cancel --json" + data));
  EXPECT_EQ(revoked["cancelled_jobs"], 1);
  EXPECT_TRUE(store->key(id)->revoked_at);
  EXPECT_EQ(run_prax("keys revoke key_none" + data).code, 2);
  EXPECT_EQ(run_prax("keys rotate " + id + data).code, 2);
  EXPECT_EQ(run_prax("keys revoke" + data).code, 2);
  const Finished plain = run_prax("keys create 'Bob B.'" + data);
  EXPECT_TRUE(jobs::is_well_formed_secret(plain.out.substr(0, plain.out.find('\n')))) << plain.out;
  EXPECT_EQ(line(run_prax("keys revoke --all --json" + data))["revoked"], 1);
  EXPECT_EQ(run_prax("audit verify" + data).code, 0);
}

TEST(AuditCommand, ShowsTheLogAndFindsChanges) {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path() / "data";
  const std::string data = " --data " + folder.string();
  for (const char* name : {"a", "b", "c"}) ASSERT_EQ(run_prax(std::string("keys create ") + name + data).code, 0);
  const Finished good = run_prax("audit verify --json" + data);
  EXPECT_EQ(good.code, 0);
  const auto verdict = good.lines().at(0);
  EXPECT_EQ(verdict["entries"], 3);
  EXPECT_EQ(verdict["anchors"], 1) << "the data folder's own";
  const std::string head = verdict["head"];
  EXPECT_EQ(run_prax("audit verify --head " + head + data).code, 0);
  EXPECT_EQ(run_prax("audit verify --head 3:" + std::string(64, '0') + data).code, 1);
  EXPECT_EQ(run_prax("audit verify --head nonsense" + data).code, 2);
  EXPECT_EQ(run_prax("audit show --json" + data).lines().size(), 3u);
  EXPECT_EQ(run_prax("audit show --json --after 1 --limit 1" + data).lines().at(0)["sequence"], 2);
  EXPECT_TRUE(run_prax("audit show" + data).says("key.created"));

  const auto raw = jobs::open_sqlite((folder / "prax.db").string(), {});
  raw->run("DELETE FROM audit WHERE sequence = 3");
  raw->run("UPDATE audit_head SET sequence = 2, hash = (SELECT hash FROM audit WHERE sequence = 2)");
  const Finished cut = run_prax("audit verify" + data);
  EXPECT_EQ(cut.code, 1) << "the data folder's anchor knows of the third entry";
  EXPECT_TRUE(cut.says("cut off")) << cut.out;
}

}  // namespace

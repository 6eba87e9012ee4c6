#include "support.h"

#include <pwd.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

// FFmpeg's decoding threads hand frames over by means that ThreadSanitizer does not see, as it is not built with it.
extern "C" const char* __tsan_default_suppressions() {
  return "race:libavcodec\nrace:libavutil\nrace:av_buffer_unref\nrace:av_frame_unref\n";
}

// libpqxx 6 loses the answer that libpq made when a connection broke in the middle of a statement.
extern "C" const char* __lsan_default_suppressions() { return "leak:pqxx::connection_base::exec_params\n"; }

namespace prax::jobs::test {

namespace fs = std::filesystem;

namespace {

int shell(const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()); }

//! Debian keeps the server's programs out of the way.
fs::path postgres_programs() {
  std::error_code error;
  fs::path newest;
  for (const auto& version : fs::directory_iterator("/usr/lib/postgresql", error))
    if (fs::exists(version.path() / "bin/initdb", error)) newest = std::max(newest, version.path() / "bin");
  return newest;
}

class Cluster {
public:
  Cluster() : programs_(postgres_programs()) {
    if (programs_.empty()) return;
    // The server refuses to run as root; Debian's package made a user for it.
    if (geteuid() == 0) {
      const passwd* user = getpwnam("postgres");
      if (!user || ::chown(folder_.path().c_str(), user->pw_uid, user->pw_gid) != 0) return;
      as_user_ = "runuser -u postgres -- ";
    }
    const std::string data = (folder_.path() / "data").string();
    if (shell(as_user_ + (programs_ / "initdb").string() + " --no-sync --auth=trust --username=prax -D " + data) != 0)
      return;
    running_ = start();
  }
  ~Cluster() {
    if (running_) control("stop -m immediate");
  }

  std::string new_database() {
    if (!running_) return {};
    static std::atomic<int> count{0};
    const std::string name = "test_" + std::to_string(++count);
    const std::string host = folder_.path().string();
    if (shell((programs_ / "psql").string() + " -h " + host + " -U prax -d postgres -c 'CREATE DATABASE " + name +
              "'") != 0)
      return {};
    return "postgresql:///" + name + "?host=" + host + "&user=prax";
  }

  void restart() {
    control("stop -m immediate");
    start();
  }

private:
  bool start() {
    return control("-l " + (folder_.path() / "log").string() + " -o \"-c listen_addresses='' -c fsync=off -k " +
                   folder_.path().string() + "\" start") == 0;
  }
  int control(const std::string& what) {
    return shell(as_user_ + (programs_ / "pg_ctl").string() + " -w -D " + (folder_.path() / "data").string() + " " +
                 what);
  }

  ScratchFolder folder_;
  fs::path programs_;
  std::string as_user_;
  bool running_ = false;
};

Cluster& cluster() {
  static Cluster the_one;
  return the_one;
}

}  // namespace

ScratchFolder::ScratchFolder() {
  std::string name = (fs::temp_directory_path() / "prax-jobs-test-XXXXXX").string();
  if (!::mkdtemp(name.data())) std::abort();
  path_ = name;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string PrivatePostgres::new_database() { return cluster().new_database(); }
void PrivatePostgres::restart() { cluster().restart(); }

void StoreTest::SetUp() {
  const std::string kind = GetParam();
  where_ = kind == "sqlite" ? (folder_.path() / "prax.db").string() : PrivatePostgres::new_database();
  if (where_.empty()) GTEST_SKIP() << "PostgreSQL's server is not installed (Debian's package postgresql)";
  store_ = open_store(where_, options_);
}

NewJob job_for(const std::string& key_id, double seconds) {
  NewJob job;
  job.id = new_job_id();
  job.key_id = key_id;
  job.model = "nano";
  job.requested_model = "sora-2";
  job.prompt = "a red balloon rises over the sea";
  job.settings.width = job.settings.height = 128;
  job.settings.frames = 25;
  job.settings.fps = 12;
  job.settings.seed = 7;
  job.seconds = job.charged_seconds = seconds;
  return job;
}

Job create(Store& store, const NewJob& job) {
  const Accepted accepted = store.create_job(job, {});
  EXPECT_EQ(accepted.refusal, Refusal::none) << accepted.reason;
  return accepted.job.value();
}

std::string new_key(Store& store, const KeyLimits& limits) {
  NewKey key;
  key.name = "someone";
  key.limits = limits;
  return store.create_key(key, "operator").key.id;
}

}  // namespace prax::jobs::test

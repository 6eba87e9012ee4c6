#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "jobs/store.h"

// What the tests of jobs share: a scratch folder, a store on SQLite or on a PostgreSQL of the test's own.
namespace prax::jobs::test {

//! A folder that is gone with the test.
class ScratchFolder {
public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

private:
  std::filesystem::path path_;
};

//! A PostgreSQL cluster in a temporary folder, reachable by a socket alone. One for the whole process.
class PrivatePostgres {
public:
  //! The URL of a new database in it; "" when PostgreSQL is not installed.
  static std::string new_database();
  //! Ends all of its sessions at once and starts again, as an operator's restart does.
  static void restart();
};

//! A store of a kind, new for each test.
class StoreTest : public testing::TestWithParam<const char*> {
protected:
  void SetUp() override;

  //! Another connection to the same database, as another process has it.
  std::unique_ptr<Store> another() const { return open_store(where_, options_); }

  ScratchFolder folder_;
  std::string where_;
  StoreOptions options_;
  std::unique_ptr<Store> store_;
};

//! A job of the key, ready to be created.
NewJob job_for(const std::string& key_id = local_key_id, double seconds = 2);
//! Creates it; the test fails when it is refused.
Job create(Store& store, const NewJob& job);
//! A key without limits.
std::string new_key(Store& store, const KeyLimits& limits = {});

inline ClaimOptions claim_as(const std::string& worker, Milliseconds lease = Milliseconds(60000)) {
  ClaimOptions options;
  options.worker = worker;
  options.lease = lease;
  return options;
}

inline JobProgress at_percent(int percent) {
  JobProgress progress;
  progress.percent = percent;
  progress.stage = "denoise";
  progress.step = percent;
  progress.steps = 100;
  return progress;
}

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool sanitized = true;  // a step takes ten times as long
#else
constexpr bool sanitized = false;
#endif
constexpr std::chrono::seconds patience(sanitized ? 300 : 60);

//! Waits until it is true, at most as long as our patience is.
template <typename Test>
bool eventually(const Test& test) {
  const auto end = std::chrono::steady_clock::now() + patience;
  do {
    if (test()) return true;
    std::this_thread::sleep_for(Milliseconds(10));
  } while (std::chrono::steady_clock::now() < end);
  return test();
}

}  // namespace prax::jobs::test

#define PRAX_FOR_EACH_STORE(suite)                                                 \
  INSTANTIATE_TEST_SUITE_P(Stores, suite, testing::Values("sqlite", "postgresql"), \
                           [](const auto& i) { return std::string(i.param); })

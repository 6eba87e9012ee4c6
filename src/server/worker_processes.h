#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "server/settings.h"

namespace prax::server {

struct WorkerCommand {
  std::vector<std::string> words, environment;
};
//! `program worker` with what the settings say to workers, whatever variables and files say.
WorkerCommand worker_command(const std::filesystem::path& program, const Settings& settings);

//! Worker programs as children of the server: one that ends is started again (sooner the longer it had lived), so that
//! a crash costs a job's last step and never the server. They end with the server, however that ends.
class WorkerProcesses {
public:
  //! The command is given `--name NAME`, another one each time, and `--server PID`, ours; `on_end` is told the name
  //! when the process has ended, from a thread of ours.
  WorkerProcesses(WorkerCommand command, int count, std::function<void(const std::string&)> on_end);
  //! stop() at once.
  ~WorkerProcesses();
  WorkerProcesses(const WorkerProcesses&) = delete;
  WorkerProcesses& operator=(const WorkerProcesses&) = delete;

  //! Asks them to save what they do and leave, waits for `grace`, then kills them. No new ones are started.
  void stop(std::chrono::milliseconds grace);
  int running() const { return running_; }
  int64_t restarts() const { return restarts_; }

private:
  struct Slot {
    pid_t pid = -1;
    std::string name;
    std::chrono::steady_clock::time_point started, start_at;
    std::chrono::milliseconds pause{0};
  };
  void supervise();
  void start(Slot& slot);
  void reap(Slot& slot);
  void end_all();
  void tell_of_ended();

  const WorkerCommand command_;
  const std::function<void(const std::string&)> on_end_;
  std::vector<Slot> slots_;
  std::vector<std::string> ended_;  //!< that on_end_ was not told of
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::chrono::milliseconds grace_{0};
  std::atomic<int> running_{0};
  std::atomic<int64_t> restarts_{0};
  std::thread thread_;  // starts the children: they are told when it ends
};

}  // namespace prax::server

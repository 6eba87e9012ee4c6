#pragma once

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <set>
#include <string>

#include "jobs/result_storage.h"
#include "jobs/store.h"

namespace prax::server {

//! Videos in other formats, made when somebody asks and kept with the video's files: they count toward the quota and
//! go when the video is deleted. Few are made at a time, one by each thread that waits for it. Thread-safe.
class Conversions {
public:
  //! `at_once` are made side by side; `work` is a folder for what is being made.
  Conversions(jobs::Store& store, jobs::ResultStorage& storage, std::filesystem::path work, int at_once)
      : store_(store), storage_(storage), work_(std::move(work)), at_once_(at_once) {}

  //! "webm", "gif" or "png" (a ZIP file of frames).
  static bool knows(const std::string& format);
  static std::string ending_of(const std::string& format);
  //! The stored file of a completed job in that format. HttpError(503) when too many are being made,
  //! HttpError(507) when it would go over `quota`.
  jobs::ResultFile get(const jobs::Job& job, const std::string& format, const std::optional<uint64_t>& quota);

private:
  class Turn;
  jobs::ResultFile make(const jobs::Job& job, const std::string& format, const std::optional<uint64_t>& quota);

  jobs::Store& store_;
  jobs::ResultStorage& storage_;
  const std::filesystem::path work_;
  const int at_once_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> making_;  //!< "video_.../webm"
};

}  // namespace prax::server

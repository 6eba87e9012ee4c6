#pragma once

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "jobs/result_storage.h"
#include "jobs/store.h"

namespace prax::server {

//! Videos in other formats, made when somebody asks and kept with the video's files: they count toward the quota and
//! go when the video is deleted. They have threads of their own, so that no request waits; whoever asks twice for the
//! same one hears where the first stands. Thread-safe.
class Conversions {
public:
  //! `at_once` are made side by side; `work` is a folder for what is being made.
  Conversions(jobs::Store& store, jobs::ResultStorage& storage, std::filesystem::path work, int at_once);
  //! What is being made is given up.
  ~Conversions();
  Conversions(const Conversions&) = delete;
  Conversions& operator=(const Conversions&) = delete;

  //! "webm", "gif" or "png" (a ZIP file of frames).
  static bool knows(const std::string& format);
  static std::string ending_of(const std::string& format);

  struct Standing {
    std::optional<jobs::ResultFile> file;  //!< once it is there
    int percent = 0;                       //!< of the frames
    std::string problem;                   //!< why it could not be made; who asks again begins anew
  };
  //! Where a completed job in that format stands; asked for first, it is begun. HttpError(503) when too many wait,
  //! HttpError(507) when there is no room below `quota`.
  Standing ask(const jobs::Job& job, const std::string& format, const std::optional<uint64_t>& quota);

private:
  struct Wish {
    std::string job_id, format;
    auto operator<=>(const Wish&) const = default;
  };
  void work();
  std::string make(const Wish& wish);  //!< "" or the problem
  void convert(const std::filesystem::path& video, const std::filesystem::path& target, const Wish& wish);
  void note(const Wish& wish, int percent);

  jobs::Store& store_;
  jobs::ResultStorage& storage_;
  const std::filesystem::path work_;
  std::mutex mutex_;
  std::condition_variable wished_;
  std::map<Wish, Standing> standings_;  //!< that wait, are being made, or could not be made
  std::deque<Wish> waiting_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace prax::server

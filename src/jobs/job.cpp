#include "jobs/job.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/hash.h"

namespace prax::jobs {

namespace {

constexpr std::array<std::pair<JobStatus, std::string_view>, 5> statuses{{{JobStatus::queued, "queued"},
                                                                          {JobStatus::in_progress, "in_progress"},
                                                                          {JobStatus::completed, "completed"},
                                                                          {JobStatus::failed, "failed"},
                                                                          {JobStatus::cancelled, "cancelled"}}};
constexpr std::array<std::pair<JobKind, std::string_view>, 8> kinds{{{JobKind::create, "create"},
                                                                     {JobKind::remix, "remix"},
                                                                     {JobKind::edit, "edit"},
                                                                     {JobKind::extension, "extension"},
                                                                     {JobKind::cut, "cut"},
                                                                     {JobKind::blend, "blend"},
                                                                     {JobKind::upscale, "upscale"},
                                                                     {JobKind::storyboard, "storyboard"}}};

template <typename T, size_t N>
std::string_view name_in(const std::array<std::pair<T, std::string_view>, N>& table, T value) {
  for (const auto& [known, name] : table)
    if (known == value) return name;
  return "";
}

template <typename T, size_t N>
T named_in(const std::array<std::pair<T, std::string_view>, N>& table, std::string_view wanted, const char* what) {
  for (const auto& [known, name] : table)
    if (name == wanted) return known;
  std::string names;
  for (const auto& entry : table) names += (names.empty() ? "" : ", ") + std::string(entry.second);
  throw Error(ErrorKind::usage, "'" + std::string(wanted) + "' is no " + what, "use one of " + names);
}

constexpr size_t job_id_bytes = 16;

}  // namespace

std::string_view name_of(JobStatus status) { return name_in(statuses, status); }
JobStatus job_status_named(std::string_view name) { return named_in(statuses, name, "status of a job"); }
std::string_view name_of(JobKind kind) { return name_in(kinds, kind); }
JobKind job_kind_named(std::string_view name) { return named_in(kinds, name, "kind of job"); }

const ResultFile* find_result(const std::vector<ResultFile>& results, std::string_view variant) {
  const auto found =
      std::find_if(results.begin(), results.end(), [&](const ResultFile& file) { return file.variant == variant; });
  return found == results.end() ? nullptr : &*found;
}

std::string new_job_id() { return "video_" + random_hex(job_id_bytes); }
std::string new_character_id() { return "char_" + random_hex(job_id_bytes); }

}  // namespace prax::jobs

#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/settings.h"
#include "jobs/time.h"

namespace prax::jobs {

//! The API's four states, and one that only our own routes show (the Videos API shows it as failed with the error code
//! "cancelled").
enum class JobStatus { queued, in_progress, completed, failed, cancelled };
std::string_view name_of(JobStatus status);  //!< "queued", "in_progress" ...
JobStatus job_status_named(std::string_view name);
//! Completed, failed or cancelled: nothing changes any more but deletion.
inline bool is_final(JobStatus status) { return status > JobStatus::in_progress; }

//! How a job came to be; the worker needs only the settings.
enum class JobKind { create, remix, edit, extension, cut, blend, upscale, storyboard };
std::string_view name_of(JobKind kind);
JobKind job_kind_named(std::string_view name);

//! Why a job failed. Codes: "cancelled", "invalid_input" (a picture or clip that was handed in, or settings that the
//! model cannot do), "model_unavailable", "out_of_memory", "disk_full", "worker_crashed" (it ended its worker too
//! often), "storage_unavailable", "refused_by_policy" (the operator's review program), "review_failed" (it could not be
//! run), "source_failed" (a video that it waited for was not made), "source_deleted", "internal_error".
struct JobError {
  std::string code;
  std::string message;  //!< one sentence, then what to do
};

//! A file that a job reads, in the ResultStorage under `storage_name`.
struct InputFile {
  std::string name;          //!< unique in the job; what Settings call it: "input_reference", "video", "condition-1"
  std::string storage_name;  //!< "inputs/<job or upload id>/..."; the results of another job for a remix by id
  std::string media_type;    //!< sniffed from the bytes: "image/png", "video/mp4"
  uint64_t bytes = 0;
  std::string sha256;  //!< lower-case hex
};

//! A file that a finished job offers.
struct ResultFile {
  std::string variant;       //!< "video", "thumbnail", "spritesheet"
  std::string storage_name;  //!< "results/<job id>/<fence>/video.mp4"
  std::string media_type;    //!< "video/mp4", "image/webp", "image/jpeg"
  uint64_t bytes = 0;
  std::string sha256;  //!< lower-case hex; also the ETag
};

//! Where a running job stands. Percent never falls, and is 100 only with `completed`.
struct JobProgress {
  int percent = 0;
  std::string stage;                   //!< "", "load", "text", "denoise", "decode", "publish"
  int64_t step = 0;                    //!< finished steps of the stage
  int64_t steps = 0;                   //!< all steps of the stage
  std::optional<double> seconds_left;  //!< of the whole job, estimated
  int64_t preview = 0;                 //!< number of the newest preview picture (Store::preview); 0 when there is none
};

//! What a finished job measured.
struct JobCost {
  double inference_seconds = 0;  //!< of the attempt that ended it, from its claim on
  double peak_memory_mb = 0;     //!< most resident memory of the worker's process, in 10^6 bytes
};

//! What came of a job that is complete.
struct JobOutcome {
  std::vector<ResultFile> results;
  JobCost cost;
  std::optional<Time> expires_at;
  double seconds = 0;  //!< length that was really made, first to last picture; 0 to leave Job::seconds as it is
};

//! A video that another one is made from.
struct SourceOf {
  std::string id;
  //! A JobKind's name, "again" for the same with a change, or "character" for the clip that the video's character is.
  std::string kind;
  bool operator==(const SourceOf&) const = default;
};

//! What the owner says of a job; absent parts stay.
struct JobNote {
  std::optional<std::string> title, folder;
  std::optional<bool> favourite;
};

struct Job {
  std::string id;      //!< "video_" and 32 hex digits
  std::string key_id;  //!< owner; local_key_id without keys
  JobKind kind = JobKind::create;
  JobStatus status = JobStatus::queued;
  JobProgress progress;
  std::string model;            //!< the catalogue's name, aliases resolved
  std::string requested_model;  //!< as the caller said it
  std::string prompt;
  Settings settings;
  double seconds = 0;  //!< length of the result, stitched length of an extension
  std::vector<InputFile> inputs;
  std::vector<ResultFile> results;                     //!< complete once `completed`, else empty
  nlohmann::json metadata = nlohmann::json::object();  //!< the caller's own
  std::string webhook_url;                             //!< told of the end beside the key's endpoints; "" for none
  std::optional<std::string> source_id;                //!< the job that this one remixes, edits or extends
  std::vector<std::string> waits_for;                  //!< jobs that had to be completed before this one could begin
  std::string title, folder;                           //!< as the owner says
  bool favourite = false;
  int priority = 0;  //!< higher first; at most the key's max_priority
  int attempts = 0;  //!< times a worker began or resumed it (drained ones are not counted)
  std::optional<JobError> error;
  JobCost cost;
  Time created_at;
  std::optional<Time> started_at;    //!< of the first attempt
  std::optional<Time> completed_at;  //!< also of failed and cancelled ones
  std::optional<Time> expires_at;    //!< when the results are deleted
  bool expired = false;              //!< the results are gone
  std::string worker;                //!< name of the worker that has it, or had it last
  int64_t version = 0;               //!< grows with every change of any job; see Store::changed_jobs
};

//! nullptr when there is none.
const ResultFile* find_result(const std::vector<ResultFile>& results, std::string_view variant);

//! A job to accept.
struct NewJob {
  std::string id;  //!< from new_job_id(); inputs are stored under it before the job exists
  std::string key_id;
  JobKind kind = JobKind::create;
  std::string model, requested_model, prompt;
  Settings settings;
  double seconds = 0;
  //! What the daily budget is charged with: for an extension the new part alone. Seconds of video.
  double charged_seconds = 0;
  std::vector<InputFile> inputs;
  nlohmann::json metadata = nlohmann::json::object();
  std::string webhook_url;
  std::optional<std::string> source_id;
  std::vector<SourceOf> more_sources = {};  //!< beside source_id, which is of the job's kind
  //! Jobs that must be completed first: until then this one is not claimed, and it fails when one of them does. Their
  //! videos are inputs with the storage_name result_of(id).
  std::vector<std::string> waits_for = {};
  std::string title = {};
  int priority = 0;
  std::string request_id;  //!< for the audit log
  //! The caller's Idempotency-Key and a hash of the request; "" for none. Remembered for a day.
  std::string idempotency_key, request_hash;
};

//! Stands for the video of a job that is not completed, as InputFile::storage_name.
inline std::string result_of(const std::string& job_id) { return "result:" + job_id; }

std::string new_job_id();        //!< "video_..."
std::string new_character_id();  //!< "char_..."

//! A character of the Videos API: a name and a clip.
struct Character {
  std::string id, key_id, name;
  InputFile clip;
  Time created_at;
  std::optional<std::string> source_id = {};  //!< the job whose video the clip is
};

}  // namespace prax::jobs

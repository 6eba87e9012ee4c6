#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "jobs/job.h"
#include "jobs/model_catalog.h"
#include "server/context.h"
#include "server/form.h"
#include "server/inputs.h"

namespace prax::server {

//! A request for a video on its way to the queue: what create, remix, edit and extension have in common. Everything
//! that can be wrong is HttpError with the field in `param`, before anything is stored.
class JobDraft {
public:
  JobDraft(const Context& context, http::Request& request, jobs::JobKind kind);

  FieldReader& fields() { return fields_; }
  jobs::NewJob& job() { return job_; }

  //! `prompt`, and the settings beyond the API that every kind takes.
  void read_common(bool needs_prompt = true);
  //! The field `model`, else `usual`. HttpError 400 for an unknown one, 403 for one that the key may not use.
  const jobs::ModelCatalog::Resolved& read_model(const std::string& usual);
  //! `size`, `seconds`, `num_frames`, `fps`: what the model makes of it.
  void read_shape();
  //! Width, height, rate and length of a clip, as near as the model comes to it.
  void take_shape_of(const CheckedMedia& clip);
  void take_shape_of(const jobs::Job& source);
  //! `input_reference`, `conditions`, `shots`, `loop`, `characters` and who is named in the prompt.
  void read_references();
  //! `video`: a finished video's id, or a clip. The job, if it is one of ours.
  struct Source {
    std::optional<jobs::Job> job;
    std::optional<CheckedMedia> clip;
  };
  Source read_video();
  //! The result of a finished job as an input.
  void take_result(const jobs::Job& source, const std::string& name = "video");
  //! `again_of`: the video that this one makes again with a change.
  void read_again();
  //! `title`.
  void read_title();
  //! `seconds` as a number or a text.
  std::optional<double> read_seconds();
  void take_upload(const std::string& name, CheckedMedia media) { uploads_.emplace_back(name, std::move(media)); }

  //! Room for inputs of so many bytes in all; HttpError(507).
  void reserve(uint64_t bytes) { context_.reservations.reserve(request_, bytes); }

  const jobs::CatalogModel& model() const { return *resolved_.model; }
  //! The caller's finished job; HttpError 404, or 400 while it is not finished.
  jobs::Job finished_job(const std::string& id, const std::string& param);

  //! Stores the inputs and queues the job.
  jobs::Job submit();

private:
  void read_loras();
  void read_metadata();
  void read_conditions();
  void read_shots();
  CheckedMedia read_picture(const nlohmann::json& value, const std::string& param, Wanted wanted);
  void read_characters();
  std::vector<jobs::Character> wanted_characters(const std::string& field);
  void show_characters(const std::vector<jobs::Character>& characters, const std::string& param);
  void set_shape(const jobs::Shape& shape);
  std::string hash_of_request();

  const Context& context_;
  http::Request& request_;
  const Caller& caller_;
  Form form_;
  FieldReader fields_;
  jobs::NewJob job_;
  jobs::ModelCatalog::Resolved resolved_;
  std::vector<std::pair<std::string, CheckedMedia>> uploads_;
};

//! Queues jobs whose inputs are stored, all or none (Store::create_jobs); HttpError for what the limits refuse.
jobs::Accepted accept_jobs(const Context& context, const std::vector<jobs::NewJob>& jobs);
//! HttpError 503 while the server stops.
void require_running(const Context& context);
//! A seed for who gives none.
uint64_t random_seed();
constexpr size_t longest_title = 200;
constexpr size_t most_prompt_characters = 32'000;

//! What an extension by so many seconds comes to for the model: whole groups of frames, no more than it makes in one
//! run. Sets frames, seconds and what is charged.
void plan_extension(const jobs::CatalogModel& model, int64_t clip_frames, double seconds, jobs::NewJob& job);

//! A clip among a job's inputs: its first so many frames.
struct KeptClip {
  std::string input;          //!< InputFile::name
  int64_t frames = 0;         //!< of what is kept
  std::optional<double> end;  //!< as JoinedPart::end, where not all of it is kept
};

//! The job makes what leads from the end of `first` to the beginning of `second` in about so many seconds, and its
//! result holds all three. Width, height and rate are set already; sets the rest of the shape and what is charged.
void plan_transition(const jobs::CatalogModel& model, const KeptClip& first, const KeptClip& second, double seconds,
                     jobs::NewJob& job);

//! From the first frame to the last.
int64_t frames_of(const jobs::Job& job);

}  // namespace prax::server

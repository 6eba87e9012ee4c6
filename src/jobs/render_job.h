#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "jobs/job.h"
#include "jobs/model_catalog.h"
#include "media/cut.h"
#include "pipelines/intent.h"
#include "pipelines/pipeline.h"

namespace prax::jobs {

//! What a job comes to: which pipeline, with which request.
struct JobPlan {
  pipelines::Plan plan;
  std::filesystem::path model;  //!< resolved folder
  pipelines::LoadOptions load;
  std::string dtype;  //!< by name
};

//! The job's input of that name; Error(input) when there is none.
const InputFile& input_named(const Job& job, const std::string& name);
//! Writes the parts of clips that conditions name (PlacedInput::count) beside the inputs, as folders of pictures.
void cut_placed_inputs(const Job& job, const std::filesystem::path& inputs);
//! What JoinedPart means for files; `made` is what the model made in this job.
std::vector<media::CutPart> joined_parts(const Job& job, const std::filesystem::path& inputs,
                                         const std::filesystem::path& made);

//! `inputs` is the folder that holds the job's inputs by their names (input_path()). Error(usage) or Error(input) for
//! what the model cannot do or the inputs are not, Error(checkpoint) when the model is not there.
JobPlan plan_job(const Job& job, const ModelCatalog& catalog, const std::filesystem::path& inputs);

//! The local file of an input: its name, with an ending that says what it is.
std::filesystem::path input_path(const std::filesystem::path& inputs, const InputFile& input);

//! Every text in the JSON that begins with the path `from`, with the path `to` in its place: a run goes on in another
//! folder, and no file tells of this machine's folders.
void move_paths(nlohmann::json& json, const std::string& from, const std::string& to);

}  // namespace prax::jobs

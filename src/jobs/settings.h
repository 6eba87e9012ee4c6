#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace prax::jobs {

//! A picture or clip among the job's inputs that stands at a frame of the video.
struct PlacedInput {
  std::string input;  //!< InputFile::name
  int64_t frame = 0;
  double strength = 1.0;
  //! Of a clip these frames alone: the first one (counted from the end when negative) and how many; all when 0.
  int64_t from = 0, count = 0;
  bool operator==(const PlacedInput&) const = default;
};

//! One of several prompts of a long video, for so many seconds.
struct PromptShot {
  std::string prompt;
  double seconds = 0;
  bool operator==(const PromptShot&) const = default;
};

//! A piece of a clip that is joined with others; see media::CutPart.
struct JoinedPart {
  std::string input;  //!< InputFile::name, or "" for what the model made in this job
  double start = 0;
  std::optional<double> end = {};
  double crossfade = 0;
  bool operator==(const JoinedPart&) const = default;
};

//! A character that a video shows, with the name that it had.
struct ShownCharacter {
  std::string id, name;
  bool operator==(const ShownCharacter&) const = default;
};

//! A card of a storyboard: the video that was made for it, and how it follows the one before.
struct StoryboardCard {
  std::string job_id;
  std::string joined_by;  //!< "extension", "conditions" or "cut"; "" for the first one
  bool operator==(const StoryboardCard&) const = default;
};

//! A LoRA by its name in the ModelCatalog.
struct NamedLora {
  std::string name;
  double weight = 1.0;
  bool operator==(const NamedLora&) const = default;
};

//! What is made beside prompt and model, complete enough that the same job gives the same bits again: sizes and the
//! seed are never left to chance. Stored as JSON with a job.
struct Settings {
  std::string negative_prompt;
  int width = 0;   //!< pixels
  int height = 0;  //!< pixels
  int64_t frames = 0;
  double fps = 0;
  uint64_t seed = 0;
  std::optional<int64_t> steps;    //!< denoising steps; the model's default when absent
  std::optional<double> guidance;  //!< how strongly the prompt guides; the model's default when absent
  std::optional<double> strength;  //!< 0..1: how far `video` is changed, or how strongly `image` holds
  bool loop = false;               //!< the end meets the beginning
  std::string image;               //!< InputFile::name of the first frame, or ""
  std::string video;               //!< InputFile::name of a clip to change, or "" (remix, edit)
  std::string extend;              //!< InputFile::name of a clip to go on with, or ""; the result holds both
  std::vector<PlacedInput> conditions;
  std::vector<ShownCharacter> characters;  //!< their pictures are `image` or among the conditions
  std::vector<PromptShot> shots;
  std::vector<JoinedPart> parts;      //!< the result is these, one after another
  std::vector<StoryboardCard> cards;  //!< of the storyboard that this joins, for the record
  bool before = false;                //!< an extension whose new part comes first
  std::string joined_by;    //!< "conditions" or "crossfade" (blend); "extension", "conditions" or "cut" (a card)
  std::string upscaled_by;  //!< "model" or "resize" (upscale)
  std::vector<NamedLora> loras;
  std::string dtype;  //!< "bf16", "int8" or "f32"; "" for the catalogue's choice
  //! More arguments of the reference pipeline, by its names ("max_sequence_length"). No argument that names a file.
  nlohmann::json arguments = nlohmann::json::object();

  bool operator==(const Settings&) const = default;
};

nlohmann::json to_json(const Settings& settings);
//! The reverse. Error(input) for a key that is unknown or of another type: a setting is never dropped silently.
Settings settings_from_json(const nlohmann::json& json);

}  // namespace prax::jobs

#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipelines/limits.h"

namespace prax::jobs {

//! A model that jobs can name.
struct CatalogModel {
  std::string name;              //!< "nano", "ltx-video"
  std::filesystem::path folder;  //!< "nano" for the embedded model
  std::string dtype;             //!< "bf16", "int8", "f32"
  std::string variant;           //!< of the weight files
  pipelines::Limits limits;      //!< which sizes and lengths it makes, and its defaults
  std::optional<int64_t> steps;  //!< instead of the folder's default
};

//! What a request's size and length come to.
struct Shape {
  int width = 0, height = 0;
  int64_t frames = 0;
  double fps = 0;
  //! From the first picture to the last: (frames - 1) / fps. 25 frames at 12 a second are 2 seconds.
  double seconds() const { return fps > 0 ? static_cast<double>(frames - 1) / fps : 0; }
};

//! "2", "4.5", "2.08": seconds as the API writes them, at most two decimals.
std::string seconds_text(double seconds);

//! A size or length as it was asked for; absent parts are the model's choice.
struct WantedShape {
  std::optional<int> width, height;
  std::optional<double> seconds;  //!< `frames` wins
  std::optional<int64_t> frames;
  std::optional<double> fps;
};

//! Which models there are, by which names. Built once at start, then read from any thread.
class ModelCatalog {
public:
  //! The embedded model "nano", with the Videos API's names (sora-2, sora-2-pro and their dated forms) as aliases.
  //! Error(checkpoint) when it is not there.
  static ModelCatalog embedded();

  //! Reads the folder's limits. Error(checkpoint) when it cannot be run, Error(usage) when the name is taken or odd.
  void add(const std::string& name, const std::filesystem::path& folder, const std::string& dtype = {},
           const std::string& variant = {});
  //! `alias` means `model` from now on, and snaps. Error(usage) when there is no such model.
  void alias(const std::string& alias, const std::string& model);
  //! A latent upsampler's folder (LTXLatentUpsamplePipeline), which makes videos twice as large and nothing else: jobs
  //! name it as upscaler_name, requests cannot. Error(checkpoint), or Error(usage) for another kind of model.
  void set_upscaler(const std::filesystem::path& folder);
  static constexpr const char* upscaler_name = "upscaler";
  //! A LoRA file by a name that requests may use.
  void add_lora(const std::string& name, const std::filesystem::path& file);

  struct Resolved {
    const CatalogModel* model = nullptr;
    bool by_alias = false;  //!< sizes and lengths are snapped; a model's own name takes only what it can make exactly
  };
  //! By name or alias; nullopt when there is none.
  std::optional<Resolved> resolve(std::string_view name) const;
  const CatalogModel* find(std::string_view name) const;  //!< by its own name
  const std::filesystem::path* lora(std::string_view name) const;
  std::vector<const CatalogModel*> models() const;  //!< without the upscaler
  const CatalogModel* upscaler() const { return find(upscaler_name); }
  const std::map<std::string, std::string, std::less<>>& aliases() const { return aliases_; }
  //! The alias's or model's nearest name, for messages; "" when none is near.
  std::string nearest(std::string_view name) const;
  //! What requests without a model get: "sora-2" when it is an alias, else the first model.
  std::string default_name() const;

  //! Exactly what is wanted, with the model's defaults for what is not said. Error(usage) names the nearest legal
  //! values.
  static Shape exact(const CatalogModel& model, const WantedShape& wanted);
  //! The nearest that the model makes: the aspect is kept as well as its grid allows, with no more pixels and frames
  //! than its limits.
  static Shape snapped(const CatalogModel& model, const WantedShape& wanted);

private:
  std::map<std::string, CatalogModel, std::less<>> models_;
  std::vector<std::string> order_;
  std::map<std::string, std::string, std::less<>> aliases_;
  std::map<std::string, std::filesystem::path, std::less<>> loras_;
};

}  // namespace prax::jobs

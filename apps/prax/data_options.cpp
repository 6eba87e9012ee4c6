#include "data_options.h"

#include "base/error.h"

namespace prax::app {

namespace {

//! "NAME=VALUE"
std::pair<std::string, std::string> named_value(const std::string& text, const char* flag, const char* shape) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos || equals + 1 == text.size())
    throw Error(ErrorKind::usage, std::string(flag) + " is '" + text + "', which has no name and value",
                std::string("write it as ") + flag + " " + shape);
  return {text.substr(0, equals), text.substr(equals + 1)};
}

}  // namespace

void DataOptions::add_to(CLI::App& command, bool with_storage) {
  command.add_option("--data", data, "The folder of jobs, keys and results")->type_name("DIR");
  command.add_option("--database", database, "PostgreSQL in place of the folder's own database")
      ->type_name("postgresql://...");
  if (with_storage)
    command.add_option("--storage", storage, "Another folder for results, or s3://bucket/prefix?endpoint=...")
        ->type_name("PLACE");
}

jobs::DataFolder DataOptions::folder(bool must_exist) const {
  if (data.empty()) throw Error(ErrorKind::usage, "--data is missing", "name the folder of the server: --data DIR");
  std::error_code ignored;
  if (must_exist && database.empty() && !std::filesystem::exists(std::filesystem::path(data) / "prax.db", ignored))
    throw Error(ErrorKind::usage, "there are no jobs and keys in " + data,
                "name the folder that `prax serve` or `prax keys create` was given");
  return jobs::DataFolder(data);
}

void ModelOptions::add_to(CLI::App& command) {
  const auto several = [&](const char* name, std::vector<std::string>& value, const char* shape, const char* help) {
    command.add_option(name, value, help)->type_name(shape)->allow_extra_args(false);
  };
  several("--model", models, "NAME=FOLDER[@DTYPE]", "A model that jobs may name; may be repeated");
  several("--alias", aliases, "ALIAS=NAME", "Another name of a model, which snaps sizes; may be repeated");
  several("--lora", loras, "NAME=FILE", "A LoRA file that jobs may name; may be repeated");
  command.add_option("--upscaler", upscaler, "A latent upsampler, which enlarges videos")->type_name("FOLDER");
}

jobs::ModelCatalog ModelOptions::catalog() const {
  auto catalog = jobs::ModelCatalog::embedded();
  for (const std::string& text : models) {
    auto [name, folder] = named_value(text, "--model", "NAME=FOLDER");
    std::string dtype;
    if (const size_t at = folder.rfind('@'); at != std::string::npos && at > folder.rfind('/') + 1) {
      dtype = folder.substr(at + 1);
      folder.resize(at);
    }
    catalog.add(name, folder, dtype);
  }
  for (const std::string& text : aliases) {
    const auto [alias, model] = named_value(text, "--alias", "ALIAS=NAME");
    catalog.alias(alias, model);
  }
  for (const std::string& text : loras) {
    const auto [name, file] = named_value(text, "--lora", "NAME=FILE");
    catalog.add_lora(name, file);
  }
  if (!upscaler.empty()) catalog.set_upscaler(upscaler);
  return catalog;
}

void anchor_audit(jobs::Store& store, const jobs::DataFolder& folder) {
  if (const jobs::AuditHead head = store.audit_head(); head.sequence > 0)
    jobs::keep_anchor(folder.audit_anchor(), head);
}

}  // namespace prax::app

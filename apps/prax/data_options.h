#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "jobs/data_folder.h"
#include "jobs/model_catalog.h"

namespace prax::app {

//! Where the jobs, keys and results are: flags of all commands that work on them.
struct DataOptions {
  std::string data;      //!< folder
  std::string database;  //!< postgresql://..., or "" for the folder's own
  std::string storage;   //!< folder or s3://..., or "" for the folder's own

  //! Adds --data and --database, and with `with_storage` also --storage.
  void add_to(CLI::App& command, bool with_storage = false);
  //! The folder. Error(usage) when neither it nor a database is named, and with `must_exist` when there is no database
  //! in it: a name typed wrong must not look like an empty one.
  jobs::DataFolder folder(bool must_exist) const;
};

//! Which models there are: flags of the commands that run jobs.
struct ModelOptions {
  std::vector<std::string> models;   //!< NAME=FOLDER[@DTYPE]
  std::vector<std::string> aliases;  //!< ALIAS=NAME
  std::vector<std::string> loras;    //!< NAME=FILE
  std::string upscaler;

  void add_to(CLI::App& command);
  //! The embedded model with the API's aliases, and what the flags add. Error(usage) for a flag that is none of these.
  jobs::ModelCatalog catalog() const;
};

//! Writes the audit log's newest end into the folder, as every process that adds to the log does.
void anchor_audit(jobs::Store& store, const jobs::DataFolder& folder);

}  // namespace prax::app

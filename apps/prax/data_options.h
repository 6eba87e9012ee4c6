#pragma once

#include <filesystem>
#include <string>

#include "jobs/data_folder.h"
#include "server/settings.h"

namespace prax::app {

//! Where the jobs, keys and results are, for the commands that work on them.
struct DataOptions {
  std::filesystem::path data;  //!< folder
  std::string database;        //!< postgresql://..., or "" for the folder's own

  DataOptions() = default;
  explicit DataOptions(const server::Settings& settings) : data(settings.data), database(settings.database) {}
  //! The folder. Error(usage) with `must_exist` when there is no database in it: a name typed wrong must not look like
  //! an empty one.
  jobs::DataFolder folder(bool must_exist) const;
};

//! Writes the audit log's newest end into the folder, as every process that adds to the log does.
void anchor_audit(jobs::Store& store, const jobs::DataFolder& folder);

}  // namespace prax::app

#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "jobs/audit.h"
#include "jobs/result_storage.h"
#include "jobs/store.h"

namespace prax::jobs {

//! Where the server and its workers keep everything (`--data DIR`):
//!
//!   prax.db            the store, unless --database names PostgreSQL (with prax.db-wal and prax.db-shm while in use)
//!   storage/results/   <job id>/<fence>/video.mp4, thumbnail.webp, spritesheet.jpg
//!                      <job id>/formats/video.webm, video.gif, video.zip: made when they were asked for
//!   storage/inputs/    <job id>/...: pictures and clips that were handed in
//!   storage/runs/      <job id>/run.prax: running jobs after their last saved step
//!   work/              <job id>-<fence>/: what a worker of this machine is making; removed when it is done
//!   audit.head         the newest end of the audit log that a process here has written: see verify_audit
//!   config.toml        the server's settings, if any
//!
//! The folder is made readable by its owner only.
class DataFolder {
public:
  //! Makes what is missing. Error(io).
  explicit DataFolder(const std::filesystem::path& folder);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path database() const { return path_ / "prax.db"; }
  std::filesystem::path storage() const { return path_ / "storage"; }
  std::filesystem::path work() const { return path_ / "work"; }
  std::filesystem::path audit_anchor() const { return path_ / "audit.head"; }
  std::filesystem::path config() const { return path_ / "config.toml"; }

  //! `database` and `storage` as in open_store() and open_storage(); "" for the folder's own.
  std::unique_ptr<Store> open_store(const std::string& database = {}, const StoreOptions& options = {}) const;
  std::unique_ptr<ResultStorage> open_storage(const std::string& storage = {}) const;

private:
  std::filesystem::path path_;
};

//! Writes the head to the file unless the file knows a later one. Error(io).
void keep_anchor(const std::filesystem::path& file, const AuditHead& head);
//! nullopt when there is no file; Error(input) when it is no anchor.
std::optional<AuditHead> read_anchor(const std::filesystem::path& file);

}  // namespace prax::jobs

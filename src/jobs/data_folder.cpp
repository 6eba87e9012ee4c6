#include "jobs/data_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <system_error>

#include "base/error.h"
#include "media/output_file.h"

namespace prax::jobs {

namespace fs = std::filesystem;

DataFolder::DataFolder(const fs::path& folder) : path_(fs::absolute(folder).lexically_normal()) {
  std::error_code error;
  const bool is_new = !fs::exists(path_, error);
  fs::create_directories(work(), error);
  if (!error) fs::create_directories(storage(), error);
  // What others put into a folder of their own making is theirs to protect.
  if (!error && is_new) fs::permissions(path_, fs::perms::owner_all, error);
  if (error)
    throw Error(ErrorKind::io, path_.string() + " cannot be made: " + error.message(),
                "give --data a folder that you may write to");
}

std::unique_ptr<Store> DataFolder::open_store(const std::string& where, const StoreOptions& options) const {
  return jobs::open_store(where.empty() ? database().string() : where, options);
}

std::unique_ptr<ResultStorage> DataFolder::open_storage(const std::string& where) const {
  return jobs::open_storage(where.empty() ? storage().string() : where);
}

std::optional<AuditHead> read_anchor(const fs::path& file) {
  std::ifstream in(file);
  if (!in) return std::nullopt;
  AuditHead head;
  if (!(in >> head.sequence >> head.hash) || head.hash.size() != AuditHead{}.hash.size())
    throw Error(ErrorKind::input, file.string() + " is no end of an audit log",
                "restore it from a copy; if that cannot be, remove it and note that the log was not anchored");
  return head;
}

void keep_anchor(const fs::path& file, const AuditHead& head) {
  // Several processes of one folder write it: one after the other, and never backwards.
  const fs::path lock_file = fs::path(file).concat(".lock");
  constexpr mode_t owner_only = 0600;
  const int lock = ::open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, owner_only);
  if (lock < 0 || ::flock(lock, LOCK_EX) != 0) {
    const int failure = errno;
    if (lock >= 0) ::close(lock);
    media::throw_write_error(failure, file);
  }
  try {
    const auto there = read_anchor(file);
    if (!there || there->sequence < head.sequence) {
      media::OutputFile out(file);
      out.write(std::to_string(head.sequence) + " " + head.hash + "\n");
      out.commit();
    }
  } catch (...) {
    ::close(lock);
    throw;
  }
  ::close(lock);
}

}  // namespace prax::jobs

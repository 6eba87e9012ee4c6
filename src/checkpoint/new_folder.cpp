#include "checkpoint/new_folder.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "checkpoint/messages.h"

namespace prax::checkpoint {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(const std::string& verb, const fs::path& path, int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  throw Error(
      ErrorKind::io, "cannot " + verb + " " + named(path) + ": " + std::strerror(error),
      full ? "free some space or write to another disk" : "check that the folder exists and that you may write there");
}

struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

void write_all(int descriptor, const char* data, size_t bytes, const fs::path& path) {
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor, data, bytes);
    if (written < 0) {
      if (errno == EINTR) continue;
      fail("write", path, errno);
    }
    data += written;
    bytes -= static_cast<size_t>(written);
  }
}

int create(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0) fail("create", path, errno);
  return descriptor;
}

void sync(int descriptor, const fs::path& path) {
  if (::fsync(descriptor) != 0 && errno != EINVAL && errno != EROFS) fail("write", path, errno);
}

fs::path named_folder(const fs::path& target) {
  const fs::path path = fs::absolute(target).lexically_normal();
  return path.has_filename() ? path : path.parent_path();  // "folder/" is the folder
}

}  // namespace

void NewFolder::require_free(const fs::path& target) {
  const fs::path path = named_folder(target);
  std::error_code failure;
  const auto status = fs::symlink_status(path, failure);
  if (fs::exists(status) && !(fs::is_directory(status) && fs::is_empty(path, failure)))
    throw Error(ErrorKind::usage, named(path) + " exists already",
                "name a folder that does not exist, or remove it first");
  if (!fs::is_directory(path.parent_path(), failure))
    throw Error(ErrorKind::io, "there is no folder " + named(path.parent_path()), "make it first");
}

NewFolder::NewFolder(const fs::path& target) : target_(named_folder(target)) {
  require_free(target_);
  for (int attempt = 0;; ++attempt) {
    const std::string suffix = std::to_string(::getpid()) + "-" + std::to_string(attempt);
    path_ = target_.parent_path() / ("." + target_.filename().string() + ".part-" + suffix);
    if (::mkdir(path_.c_str(), 0777) == 0) return;
    if (errno != EEXIST) fail("create", target_, errno);
  }
}

NewFolder::~NewFolder() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(path_, ignored);
}

void NewFolder::commit() {
  // An empty folder of that name is replaced, anything else is not.
  if (::rename(path_.c_str(), target_.c_str()) != 0) fail("create", target_, errno);
  committed_ = true;
  // The new name survives a power cut only when its folder is synced too; some file systems cannot, and need not.
  if (const Descriptor folder{::open(target_.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
      folder.number >= 0)
    ::fsync(folder.number);
}

void make_folder(const fs::path& path) {
  if (::mkdir(path.c_str(), 0777) != 0) fail("create", path, errno);
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code failure;
  for (fs::directory_iterator it(folder, failure), end; !failure && it != end; it.increment(failure)) {
    std::error_code ignored;
    if (it->path().filename().string().front() != '.' && fs::is_regular_file(it->path(), ignored))
      files.push_back(it->path());
  }
  if (failure) fail("list", folder, failure.value());
  std::sort(files.begin(), files.end());
  return files;
}

void carry_file(const fs::path& from, const fs::path& to, Carried& carried) {
  constexpr off_t least_shared = off_t{1} << 20;
  constexpr size_t block = size_t{4} << 20;
  const Descriptor source{::open(from.c_str(), O_RDONLY | O_CLOEXEC)};
  struct stat status {};
  if (source.number < 0 || ::fstat(source.number, &status) != 0) fail("read", from, errno);
  const bool large = status.st_size >= least_shared;
  if (large) {
    {
      const Descriptor target{create(to)};
      if (::ioctl(target.number, FICLONE, source.number) == 0) {
        sync(target.number, to);
        ++carried.cloned;
        return;
      }
    }
    ::unlink(to.c_str());
    // The file itself, not a link to it as download caches have them.
    if (::linkat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), AT_SYMLINK_FOLLOW) == 0) {
      ++carried.linked;
      return;
    }
  }
  const Descriptor target{create(to)};
  std::string buffer(std::min<size_t>(block, static_cast<size_t>(status.st_size) + 1), '\0');
  for (;;) {
    const ssize_t got = ::read(source.number, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read", from, errno);
    if (got == 0) break;
    write_all(target.number, buffer.data(), static_cast<size_t>(got), to);
  }
  sync(target.number, to);
  ++carried.copied;
}

void write_text(const fs::path& path, const std::string& text) {
  const Descriptor file{create(path)};
  write_all(file.number, text.data(), text.size(), path);
  sync(file.number, path);
}

}  // namespace prax::checkpoint

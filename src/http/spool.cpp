#include "http/spool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace prax::http {
namespace {

[[noreturn]] void throw_io(const std::string& what, const std::filesystem::path& path, int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  throw Error(full ? ErrorKind::disk_full : ErrorKind::io, what + " " + path.string() + ": " + std::strerror(error),
              full ? "make room on the disk" : "see that the folder can be used");
}

}  // namespace

OpenFile::OpenFile(const std::filesystem::path& path) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) throw_io("cannot open", path, errno);
  struct stat status = {};
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    const int error = errno ? errno : EISDIR;
    ::close(descriptor_);
    throw_io("cannot read", path, error);
  }
  size_ = static_cast<uint64_t>(status.st_size);
  modified_ = status.st_mtime;
}

OpenFile::~OpenFile() { ::close(descriptor_); }

size_t OpenFile::read(uint64_t offset, std::span<char> bytes) const {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got =
        ::pread(descriptor_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (got == 0) break;
    if (got < 0) {
      if (errno == EINTR) continue;
      throw_io("cannot read", path_, errno);
    }
    done += static_cast<size_t>(got);
  }
  return done;
}

TemporaryFile::TemporaryFile(const std::filesystem::path& folder) {
  std::string name = (folder / "upload-XXXXXX").string();
  descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor_ < 0) throw_io("cannot create a file in", folder, errno);
  path_ = name;
}

TemporaryFile::~TemporaryFile() {
  ::close(descriptor_);
  ::unlink(path_.c_str());
}

void TemporaryFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      throw_io("cannot write", path_, errno);
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void Spool::append(std::string_view bytes) {
  size_ += bytes.size();
  if (!file_ && bytes_.size() + bytes.size() <= memory_) {
    bytes_ += bytes;
    return;
  }
  if (!file_) file();
  file_->append(bytes);
}

std::shared_ptr<TemporaryFile> Spool::file() {
  if (!file_) {
    file_ = std::make_shared<TemporaryFile>(folder_);
    file_->append(bytes_);
    bytes_ = {};
  }
  return file_;
}

std::string Spool::text() const {
  if (!file_) return bytes_;
  return head(size_);
}

std::string Spool::head(size_t count) const {
  if (!file_) return bytes_.substr(0, count);
  const OpenFile open(file_->path());
  std::string bytes(std::min<uint64_t>(count, open.size()), '\0');
  bytes.resize(open.read(0, bytes));
  return bytes;
}

}  // namespace prax::http

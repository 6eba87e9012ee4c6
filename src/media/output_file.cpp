#include "media/output_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "base/error.h"

namespace prax::media {

namespace fs = std::filesystem;

namespace {

// The kernel answers a write beyond RLIMIT_FSIZE with SIGXFSZ, which ends the process. We want the error number.
class FileSizeSignalBlock {
public:
  FileSizeSignalBlock() {
    sigemptyset(&signal_);
    sigaddset(&signal_, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &signal_, &before_);
  }
  ~FileSizeSignalBlock() {
    if (!sigismember(&before_, SIGXFSZ)) {
      const timespec no_wait{};
      while (sigtimedwait(&signal_, nullptr, &no_wait) > 0) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

private:
  sigset_t signal_;
  sigset_t before_;
};

// 0, or the error number.
int write_all(int descriptor, std::span<const uint8_t> bytes) {
  const FileSizeSignalBlock block;
  while (!bytes.empty()) {
    const ssize_t n = ::write(descriptor, bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    if (n == 0) return EIO;
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return 0;
}

int create_part(const fs::path& target, fs::path& name) {
  require_parent_folder(target);
  for (int attempt = 0; attempt < 1000; ++attempt) {
    name = part_name(target, attempt);
    const int descriptor = ::open(name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
    if (descriptor >= 0) return descriptor;
    if (errno != EEXIST) throw_write_error(errno, target);
  }
  throw_write_error(EEXIST, target);
}

fs::path resolve(const fs::path& target) {
  std::error_code error;
  if (!fs::is_symlink(target, error)) return target;
  const fs::path real = fs::weakly_canonical(target, error);
  return error ? target : real;
}

}  // namespace

void throw_write_error(int error_number, const fs::path& path) {
  const std::string name = path.string();
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      throw Error(ErrorKind::disk_full, "the disk is full: " + name + " could not be written",
                  "Free some space there or write to another disk.");
    case EFBIG:
      throw Error(ErrorKind::disk_full, name + " would be larger than a file may be here",
                  "Raise the limit (ulimit -f) or write to another disk.");
    case ENOENT:
    case ENOTDIR:
      throw Error(ErrorKind::io, name + " cannot be written: " + std::strerror(error_number),
                  "Check that its folder exists and is a folder.");
    case ENAMETOOLONG:
      throw Error(ErrorKind::io, "the name " + name + " is too long", "Choose a shorter name.");
    default:
      throw Error(ErrorKind::io, name + " cannot be written: " + std::strerror(error_number),
                  "Choose a place that you may write to.");
  }
}

void require_parent_folder(const fs::path& path) {
  const fs::path parent = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::error_code error;
  const fs::file_status status = fs::status(parent, error);
  if (fs::is_directory(status)) return;
  if (fs::exists(status)) {
    throw Error(ErrorKind::io, path.string() + " cannot be written: " + parent.string() + " is not a folder",
                "Choose another place.");
  }
  if (status.type() == fs::file_type::not_found && error != std::errc::not_a_directory) {
    throw Error(ErrorKind::io, path.string() + " cannot be written: the folder " + parent.string() + " does not exist",
                "Create the folder first: mkdir -p '" + parent.string() + "'");
  }
  throw_write_error(error ? error.value() : EIO, path);
}

fs::path part_name(const fs::path& target, int attempt) {
  constexpr size_t longest = 200;  // of 255 that file systems allow, to leave room for our additions
  const fs::path file = target.has_filename() ? target : target.parent_path();  // "folder/" is the folder
  std::string name = "." + file.filename().string().substr(0, longest) + ".part-" + std::to_string(::getpid());
  if (attempt > 0) name += "-" + std::to_string(attempt);
  return file.parent_path() / name;
}

OutputFile::OutputFile(const fs::path& target) : target_(resolve(target)) {
  std::error_code error;
  const fs::file_status status = fs::status(target_, error);
  if (fs::is_directory(status)) {
    throw Error(ErrorKind::io, target_.string() + " is a folder", "Choose another name, or one inside the folder.");
  }
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    throw Error(ErrorKind::io, target_.string() + " is not an ordinary file", "Choose another name.");
  }
  if (target_.filename().native().size() > 255) throw_write_error(ENAMETOOLONG, target_);
  descriptor_ = create_part(target_, temporary_);
  const uint8_t trial = 0;
  if (const int failure = write_all(descriptor_, {&trial, 1})) {
    ::close(descriptor_);
    ::unlink(temporary_.c_str());
    throw_write_error(failure, target_);
  }
  if (::ftruncate(descriptor_, 0) != 0 || ::lseek(descriptor_, 0, SEEK_SET) < 0) {
    const int failure = errno;
    ::close(descriptor_);
    ::unlink(temporary_.c_str());
    throw_write_error(failure, target_);
  }
}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void OutputFile::write(std::span<const uint8_t> bytes) {
  if (const int failure = write_all(descriptor_, bytes)) throw_write_error(failure, target_);
  position_ += bytes.size();
  size_ = std::max(size_, position_);
}

void OutputFile::write(std::string_view text) {
  write(std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

void OutputFile::seek(uint64_t position) {
  if (::lseek(descriptor_, static_cast<off_t>(position), SEEK_SET) < 0) throw_write_error(errno, target_);
  position_ = position;
}

void OutputFile::commit() {
  if (::fsync(descriptor_) != 0 && errno != EINVAL && errno != EROFS) throw_write_error(errno, target_);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) throw_write_error(errno, target_);
  const int descriptor = descriptor_;
  descriptor_ = -1;
  if (::close(descriptor) != 0 && errno != EINTR) throw_write_error(errno, target_);
}

ScratchFile::ScratchFile(const fs::path& target) : target_(target) {
  fs::path name;
  descriptor_ = create_part(target_, name);
  ::unlink(name.c_str());
}

ScratchFile::~ScratchFile() { ::close(descriptor_); }

void ScratchFile::append(std::span<const uint8_t> bytes) {
  if (const int failure = write_all(descriptor_, bytes)) throw_write_error(failure, target_);
}

void ScratchFile::read(uint64_t position, std::span<uint8_t> bytes) const {
  while (!bytes.empty()) {
    const ssize_t n = ::pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(position));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      throw Error(ErrorKind::io,
                  "the frames kept for " + target_.string() +
                      " cannot be read back: " + (n < 0 ? std::strerror(errno) : "the file is too short"),
                  "Check the disk, then try again.");
    }
    bytes = bytes.subspan(static_cast<size_t>(n));
    position += static_cast<uint64_t>(n);
  }
}

}  // namespace prax::media

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/error.h"
#include "jobs/result_storage.h"
#include "jobs/storage_names.h"
#include "media/output_file.h"

namespace prax::jobs {

namespace fs = std::filesystem;

namespace {

Error problem(int number, const fs::path& path) {
  const std::string text = path.string() + ": " + std::generic_category().message(number);
  if (number == ENOSPC || number == EDQUOT)
    return {ErrorKind::disk_full, "the disk for results is full (" + text + ")", "make room on it"};
  return {ErrorKind::io, "the storage of results failed (" + text + ")", "check the folder and its permissions"};
}

class FileReader : public StoredReader {
public:
  FileReader(int descriptor, fs::path path, uint64_t offset, uint64_t count)
      : descriptor_(descriptor), path_(std::move(path)), at_(offset), end_(offset + count) {}
  ~FileReader() override { ::close(descriptor_); }
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  size_t read(std::span<uint8_t> buffer) override {
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(buffer.size(), end_ - at_));
    if (wanted == 0) return 0;
    const ssize_t count = ::pread(descriptor_, buffer.data(), wanted, static_cast<off_t>(at_));
    if (count < 0) throw problem(errno, path_);
    at_ += static_cast<uint64_t>(count);
    return static_cast<size_t>(count);
  }

private:
  int descriptor_;
  fs::path path_;
  uint64_t at_, end_;
};

class FolderStorage : public ResultStorage {
public:
  explicit FolderStorage(const fs::path& folder) : folder_(fs::absolute(folder)) { make_folder(folder_); }

  void put(const std::string& name, const fs::path& file, const std::string&) override {
    const fs::path target = path_of(name);
    make_folder(target.parent_path());
    media::OutputFile out(target);
    copy(file, out);
    out.commit();
    // The name must be on the disk too before anyone says that the file is there.
    sync_folder(target.parent_path());
  }

  std::optional<uint64_t> size(const std::string& name) override {
    struct stat info = {};
    const fs::path path = path_of(name);
    if (::stat(path.c_str(), &info) != 0) {
      if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
      throw problem(errno, path);
    }
    if (!S_ISREG(info.st_mode)) return std::nullopt;
    return static_cast<uint64_t>(info.st_size);
  }

  std::unique_ptr<StoredReader> open(const std::string& name, uint64_t offset, std::optional<uint64_t> count) override {
    const fs::path path = path_of(name);
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0) {
      if (errno == ENOENT || errno == ENOTDIR) return nullptr;
      throw problem(errno, path);
    }
    struct stat info = {};
    if (::fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
      ::close(descriptor);
      return nullptr;
    }
    const auto all = static_cast<uint64_t>(info.st_size);
    const uint64_t from = std::min(offset, all);
    return std::make_unique<FileReader>(descriptor, path, from, std::min(count.value_or(all), all - from));
  }

  fs::path local_path(const std::string& name) override { return path_of(name); }

  void remove(const std::string& name) override {
    const fs::path path = path_of(name);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT && errno != ENOTDIR) throw problem(errno, path);
  }

  void remove_folder(const std::string& folder) override {
    const fs::path path = path_of(folder);
    std::error_code error;
    fs::remove_all(path, error);
    if (error) throw problem(error.value(), path);
  }

  std::vector<std::string> folders(const std::string& folder) override {
    const fs::path path = path_of(folder);
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error))
      if (std::error_code ignored; at->is_directory(ignored)) names.push_back(at->path().filename().string());
    if (error && error != std::errc::no_such_file_or_directory) throw problem(error.value(), path);
    return names;
  }

  void check() override {
    media::OutputFile probe(folder_ / "probe");  // its destructor removes it
  }

  std::string describe() const override { return folder_.string(); }

private:
  fs::path path_of(const std::string& name) const {
    require_storage_name(name);
    return folder_ / name;
  }

  static void make_folder(const fs::path& folder) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) throw problem(error.value(), folder);
  }

  static void sync_folder(const fs::path& folder) {
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) throw problem(errno, folder);
    const int failure = ::fsync(descriptor) == 0 || errno == EINVAL ? 0 : errno;
    ::close(descriptor);
    if (failure) throw problem(failure, folder);
  }

  static void copy(const fs::path& file, media::OutputFile& out) {
    constexpr size_t piece = 1 << 18;
    const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) throw problem(errno, file);
    struct stat info = {};
    ::fstat(descriptor, &info);
    FileReader reader(descriptor, file, 0, static_cast<uint64_t>(info.st_size));
    std::vector<uint8_t> buffer(piece);
    while (const size_t count = reader.read(buffer)) out.write(std::span<const uint8_t>(buffer.data(), count));
  }

  fs::path folder_;
};

}  // namespace

std::unique_ptr<ResultStorage> open_folder_storage(const fs::path& folder) {
  return std::make_unique<FolderStorage>(folder);
}

}  // namespace prax::jobs

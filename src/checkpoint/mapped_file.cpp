#include "checkpoint/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/error.h"
#include "checkpoint/messages.h"

namespace prax::checkpoint {

namespace {

[[noreturn]] void cannot_open(const std::filesystem::path& path, int error) {
  throw Error(ErrorKind::io, "cannot open " + named(path) + ": " + std::strerror(error),
              error == EACCES   ? "check its permissions"
              : error == EMFILE ? "raise the limit of open files (ulimit -n)"
                                : "check the path, or download the file");
}

}  // namespace

MappedFile map_file(const std::filesystem::path& path, std::string_view format) {
  struct Descriptor {
    int number;
    ~Descriptor() {
      if (number >= 0) ::close(number);
    }
  };
  // O_NONBLOCK: a pipe in place of a file must not wait for a writer.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.number < 0) cannot_open(path, errno);
  struct stat status {};
  if (::fstat(file.number, &status) != 0) cannot_open(path, errno);
  if (S_ISDIR(status.st_mode)) broken(path, "is a folder, not a " + std::string(format), "name a file in it");
  if (!S_ISREG(status.st_mode)) broken(path, "is not a regular file", "weights are mapped; copy it to a file first");
  const auto size = static_cast<size_t>(status.st_size);
  if (size == 0) broken(path, "is empty");
  void* memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.number, 0);
  if (memory == MAP_FAILED)
    throw Error(ErrorKind::resource, "cannot map " + named(path) + " into memory: " + std::strerror(errno),
                "check the limit of the address space (ulimit -v)");
  return {std::shared_ptr<const void>(memory, [size](const void* p) { ::munmap(const_cast<void*>(p), size); }),
          {static_cast<const char*>(memory), size}};
}

}  // namespace prax::checkpoint

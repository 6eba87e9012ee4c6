#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace prax::jobs {

//! Reads one stored file from some byte on. One thread at a time; blocks for a disk or network access.
class StoredReader {
public:
  virtual ~StoredReader() = default;
  //! The next bytes; 0 at the end of the range. Error(io).
  virtual size_t read(std::span<uint8_t> buffer) = 0;
};

//! Where results, inputs and saved runs lie: a folder, or a bucket of an S3-compatible service. Names are paths with
//! '/', of letters, digits, '.', '_', '-': anything else is Error(usage), so no name leaves the storage. Thread-safe.
//! Errors are Error(io), and Error(disk_full) for a full disk or quota.
class ResultStorage {
public:
  virtual ~ResultStorage() = default;

  //! Stores a file's bytes under a name: whole or not at all, on the disk when it returns. Replaces what was there.
  virtual void put(const std::string& name, const std::filesystem::path& file, const std::string& media_type) = 0;
  //! Size in bytes; nullopt when there is no such file.
  virtual std::optional<uint64_t> size(const std::string& name) = 0;
  //! From byte `offset`, `count` bytes or to the end. nullptr when there is no such file.
  virtual std::unique_ptr<StoredReader> open(const std::string& name, uint64_t offset = 0,
                                             std::optional<uint64_t> count = {}) = 0;
  //! A copy as a local file. False when there is no such file.
  bool fetch(const std::string& name, const std::filesystem::path& file);
  //! The file itself where the storage is a folder of this machine; empty otherwise. It may be gone any moment.
  virtual std::filesystem::path local_path(const std::string& /*name*/) { return {}; }
  virtual void remove(const std::string& name) = 0;  //!< nothing happens when there is none
  //! All names that begin with "folder/".
  virtual void remove_folder(const std::string& folder) = 0;
  //! Names of folders right in a folder that hold something; of very many, some.
  virtual std::vector<std::string> folders(const std::string& folder) = 0;
  //! Throws Error(io) unless the storage can be written now: for readiness probes.
  virtual void check() = 0;
  //! Where it is, for people; no secret.
  virtual std::string describe() const = 0;
};

struct S3Options {
  std::string endpoint;  //!< "https://s3.eu-central-1.amazonaws.com", "http://127.0.0.1:9000"
  std::string bucket, prefix, region = "us-east-1";
  std::string access_key, secret_key, session_token;
};

std::unique_ptr<ResultStorage> open_folder_storage(const std::filesystem::path& folder);
std::unique_ptr<ResultStorage> open_s3_storage(const S3Options& options);
//! A folder, or "s3://bucket/prefix?endpoint=https://...&region=...", with the credentials from AWS_ACCESS_KEY_ID,
//! AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN (endpoint and region also from AWS_ENDPOINT_URL and AWS_REGION).
std::unique_ptr<ResultStorage> open_storage(const std::string& where);

}  // namespace prax::jobs

#include "jobs/result_storage.h"

#include <unistd.h>

#include <cstdlib>
#include <map>

#include "base/error.h"
#include "jobs/storage_names.h"
#include "media/output_file.h"

namespace prax::jobs {

namespace fs = std::filesystem;

void require_storage_name(const std::string& name) {
  constexpr size_t longest = 500;
  constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
  bool good = !name.empty() && name.size() <= longest && name.find_first_not_of(allowed) == std::string::npos;
  // No part that is empty, "." or "..", and none that hides.
  for (size_t begin = 0; good && begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    good = end > begin && name[begin] != '.';
    begin = end + 1;
  }
  if (!good)
    throw Error(ErrorKind::usage, "'" + name + "' is no name of a stored file",
                "use parts of letters, digits, '.', '_' and '-', joined by '/'");
}

bool ResultStorage::fetch(const std::string& name, const fs::path& file) {
  constexpr size_t piece = 1 << 18;
  const auto reader = open(name);
  if (!reader) return false;
  media::OutputFile out(file);
  std::vector<uint8_t> buffer(piece);
  while (const size_t count = reader->read(buffer)) out.write(std::span<const uint8_t>(buffer.data(), count));
  out.commit();
  return true;
}

std::unique_ptr<ResultStorage> open_storage(const std::string& where) {
  constexpr std::string_view scheme = "s3://";
  if (!where.starts_with(scheme)) return open_folder_storage(where);
  const auto from_environment = [](const char* name, const char* absent = "") {
    const char* value = std::getenv(name);
    return std::string(value && *value ? value : absent);
  };
  S3Options o;
  o.access_key = from_environment("AWS_ACCESS_KEY_ID");
  o.secret_key = from_environment("AWS_SECRET_ACCESS_KEY");
  o.session_token = from_environment("AWS_SESSION_TOKEN");
  o.region = from_environment("AWS_REGION", "us-east-1");
  o.endpoint = from_environment("AWS_ENDPOINT_URL");
  const size_t question = std::min(where.find('?'), where.size());
  const std::string place = where.substr(scheme.size(), question - scheme.size());
  const size_t slash = std::min(place.find('/'), place.size());
  o.bucket = place.substr(0, slash);
  o.prefix = place.substr(std::min(slash + 1, place.size()));
  for (size_t begin = question + 1; begin < where.size();) {
    const size_t end = std::min(where.find('&', begin), where.size());
    const std::string part = where.substr(begin, end - begin);
    const size_t equals = std::min(part.find('='), part.size());
    const std::string name = part.substr(0, equals), value = part.substr(std::min(equals + 1, part.size()));
    if (name == "endpoint")
      o.endpoint = value;
    else if (name == "region")
      o.region = value;
    else
      throw Error(ErrorKind::usage, "the storage's address has '" + name + "', which is unknown",
                  "it takes endpoint and region: s3://bucket/prefix?endpoint=https://...&region=...");
    begin = end + 1;
  }
  if (o.endpoint.empty()) o.endpoint = "https://s3." + o.region + ".amazonaws.com";
  return open_s3_storage(o);
}

}  // namespace prax::jobs

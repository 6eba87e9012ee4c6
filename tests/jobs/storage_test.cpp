#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/error.h"
#include "base/hash.h"
#include "jobs/result_storage.h"
#include "jobs/s3_signature.h"
#include "support.h"

namespace prax::jobs::test {
namespace {

namespace fs = std::filesystem;

void write_file(const fs::path& file, const std::string& text) { std::ofstream(file, std::ios::binary) << text; }

std::string all_of(StoredReader& reader, size_t piece = 7) {
  std::string text;
  std::vector<uint8_t> buffer(piece);
  while (const size_t count = reader.read(buffer))
    text.append(buffer.begin(), buffer.begin() + static_cast<long>(count));
  return text;
}

//! What every storage must do.
void try_storage(ResultStorage& storage, const fs::path& scratch) {
  const fs::path file = scratch / "file";
  write_file(file, "0123456789");
  storage.check();
  storage.put("results/video_1/1/video.mp4", file, "video/mp4");
  EXPECT_EQ(storage.size("results/video_1/1/video.mp4"), 10u);
  EXPECT_FALSE(storage.size("results/video_1/1/none"));
  EXPECT_FALSE(storage.open("results/video_1/1/none"));
  const auto read = [&](uint64_t offset, std::optional<uint64_t> count) {
    return all_of(*storage.open("results/video_1/1/video.mp4", offset, count));
  };
  EXPECT_EQ(read(0, {}), "0123456789");
  EXPECT_EQ(read(3, 4), "3456");
  EXPECT_EQ(read(8, {}), "89");
  EXPECT_EQ(read(8, 100), "89");
  EXPECT_EQ(read(10, {}), "");
  EXPECT_EQ(read(0, 0), "");
  write_file(file, "new");
  storage.put("results/video_1/1/video.mp4", file, "video/mp4");
  EXPECT_EQ(read(0, {}), "new");
  const fs::path copy = scratch / "copy";
  EXPECT_TRUE(storage.fetch("results/video_1/1/video.mp4", copy));
  EXPECT_EQ(fs::file_size(copy), 3u);
  EXPECT_FALSE(storage.fetch("none", copy));

  std::string large(3 << 20, 'x');
  for (size_t i = 0; i < large.size(); i += 1000) large[i] = static_cast<char>('a' + i % 26);
  write_file(file, large);
  storage.put("results/video_1/1/large", file, "video/mp4");
  EXPECT_TRUE(all_of(*storage.open("results/video_1/1/large"), 65536) == large);
  storage.open("results/video_1/1/large");  // and given up at once

  storage.put("results/video_10/1/video.mp4", file, "video/mp4");
  storage.remove_folder("results/video_1");
  EXPECT_FALSE(storage.size("results/video_1/1/video.mp4"));
  EXPECT_FALSE(storage.size("results/video_1/1/large"));
  EXPECT_TRUE(storage.size("results/video_10/1/video.mp4")) << "a name that only begins alike";
  storage.remove("results/video_10/1/video.mp4");
  storage.remove("results/video_10/1/video.mp4");
  storage.remove_folder("results/none");
  EXPECT_FALSE(storage.size("results/video_10/1/video.mp4"));
}

TEST(FolderStorage, StoresWholeFiles) {
  const ScratchFolder folder;
  const auto storage = open_storage((folder.path() / "storage").string());
  try_storage(*storage, folder.path());
}

TEST(FolderStorage, NoNameLeavesIt) {
  const ScratchFolder folder;
  const auto storage = open_folder_storage(folder.path() / "storage");
  write_file(folder.path() / "secret", "x");
  for (const char* name : {"", "/etc/passwd", "../secret", "a/../../secret", "a//b", "a/", "./a", ".hidden", "a b",
                           "a\\b", "a/..", "a\nb", "%2e%2e/secret"})
    for (const auto& use :
         {std::function<void()>([&] { storage->open(name); }), std::function<void()>([&] { storage->size(name); }),
          std::function<void()>([&] { storage->remove(name); }),
          std::function<void()>([&] { storage->put(name, folder.path() / "secret", ""); })})
      EXPECT_THROW(use(), Error) << name;
  fs::create_symlink(folder.path() / "secret", folder.path() / "storage/link");
  EXPECT_ANY_THROW(storage->open("link")) << "a link out of it";
}

TEST(FolderStorage, AFullDiskLeavesNothingHalfWritten) {
  const ScratchFolder folder;
  const auto storage = open_folder_storage(folder.path() / "storage");
  write_file(folder.path() / "file", std::string(100000, 'x'));
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{50000, 50000};
    setrlimit(RLIMIT_FSIZE, &limit);
    try {
      storage->put("results/a", folder.path() / "file", "");
    } catch (const Error& error) {
      _exit(error.kind() == ErrorKind::disk_full ? 7 : 8);
    }
    _exit(9);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_FALSE(storage->size("results/a"));
  EXPECT_TRUE(fs::is_empty(folder.path() / "storage/results"));
}

//! The example of AWS's documentation: "GET Object" of "Examples: Signature Calculations" for Signature Version 4.
TEST(S3Signature, IsThatOfTheDocumentation) {
  S3Options options;
  options.access_key = "AKIAIOSFODNN7EXAMPLE";
  options.secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
  S3Request request;
  request.method = "GET";
  request.host = "examplebucket.s3.amazonaws.com";
  request.path = "/test.txt";
  request.headers = {{"range", "bytes=0-9"}};
  request.payload_sha256 = hex(sha256(""));
  const Time at{std::chrono::seconds(1369353600)};  // 2013-05-24
  const auto headers = signed_headers(request, options, at);
  EXPECT_EQ(headers.at("authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  request.path = "/";
  request.headers.clear();
  request.query = {{"prefix", "J"}, {"max-keys", "2"}};
  EXPECT_TRUE(signed_headers(request, options, at)
                  .at("authorization")
                  .ends_with("34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

TEST(S3Storage, IsToldItsPlace) {
  for (const char* where : {"s3://", "s3://bucket?color=red", "s3://bucket?endpoint=nonsense"}) {
    setenv("AWS_ACCESS_KEY_ID", "a", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "b", 1);
    EXPECT_THROW(open_storage(where), Error) << where;
  }
}

//! Against a real service: moto's server (PyPI) where PRAX_TEST_S3 names its address, "http://127.0.0.1:5000".
TEST(S3Storage, StoresWholeFiles) {
  const char* endpoint = std::getenv("PRAX_TEST_S3");
  if (!endpoint) GTEST_SKIP() << "PRAX_TEST_S3 names no S3 service (scripts/s3_test.sh starts one)";
  setenv("AWS_ACCESS_KEY_ID", "testing", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "testing", 1);
  const ScratchFolder folder;
  const auto storage = open_storage("s3://prax-test/some/prefix?endpoint=" + std::string(endpoint));
  try_storage(*storage, folder.path());
  const auto none = open_storage("s3://no-such-bucket?endpoint=" + std::string(endpoint));
  EXPECT_THROW(none->check(), Error);
}

}  // namespace
}  // namespace prax::jobs::test

#include "checkpoint/safetensors.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <cmath>
#include <random>

#include "checkpoint/support.h"

namespace prax::checkpoint {
namespace {

void refuses(const std::filesystem::path& file, const std::string& part, ErrorKind kind = ErrorKind::checkpoint) {
  SCOPED_TRACE(part);
  expect_error(kind, part, [&] { SafetensorsFile::open(file); });
  expect_error(kind, file.string(), [&] { SafetensorsFile::open(file); });
}

TEST(Safetensors, BorrowsAndOutlivesTheFileObject) {
  TemporaryFolder folder;
  write_safetensors(folder / "a", {{"x", Tensor::full({3, 2}, 1.5f)}}, {{"format", "pt"}});
  auto file = SafetensorsFile::open(folder / "a");
  EXPECT_EQ(file->metadata().at("format"), "pt");
  EXPECT_EQ(file->path(), folder / "a");
  const Tensor x = file->tensor("x"), again = file->tensor("x");
  EXPECT_EQ(x.raw(), again.raw());  // borrowed, not copied
  x.let_go();
  file.reset();
  std::filesystem::remove(folder / "a");
  for (float v : x.span<float>()) EXPECT_EQ(v, 1.5f);
}

TEST(Safetensors, LetGoKeepsTheValues) {
  TemporaryFolder folder;
  Tensor values = Tensor::empty({1 << 16});
  for (int i = 0; i < 1 << 16; ++i) values.data<float>()[i] = static_cast<float>(i);
  write_safetensors(folder / "a", {{"x", values}});
  const auto file = SafetensorsFile::open(folder / "a");
  const Tensor x = file->tensor("x");
  ASSERT_EQ(x.data<float>()[65535], 65535.0f);
  x.let_go();
  for (int i = 0; i < 1 << 16; ++i) ASSERT_EQ(x.data<float>()[i], static_cast<float>(i));
}

TEST(Safetensors, MisalignedDataIsCopied) {
  TemporaryFolder folder;
  const float value = 2.5f;
  std::string data("\x07", 1);
  data.append(reinterpret_cast<const char*>(&value), 4);
  const std::string header =
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})";
  // Whatever the header's length, one of these four paddings leaves an odd start.
  for (int padding = 0; padding < 4; ++padding) {
    const auto file =
        SafetensorsFile::open(folder.write("m", safetensors_bytes(header + std::string(padding, ' '), data)));
    const Tensor b = file->tensor("b");
    EXPECT_EQ(reinterpret_cast<uintptr_t>(b.raw()) % alignof(float), 0u);
    EXPECT_EQ(b.data<float>()[0], 2.5f);
    EXPECT_EQ(file->tensor("a").data<uint8_t>()[0], 7);
  }
}

TEST(Safetensors, EmptyTensorsAndScalars) {
  TemporaryFolder folder;
  write_safetensors(folder / "a", {{"none", Tensor::empty({0, 4})}, {"one", Tensor::full({}, 3.0f)}});
  const auto file = SafetensorsFile::open(folder / "a");
  EXPECT_EQ(file->tensor("none").shape(), (Shape{0, 4}));
  EXPECT_EQ(file->tensor("one").shape(), Shape{});
  EXPECT_EQ(file->tensor("one").data<float>()[0], 3.0f);
  const auto bare = SafetensorsFile::open(folder.write("b", safetensors_bytes("{}")));
  EXPECT_TRUE(bare->entries().empty());
}

TEST(Safetensors, UnknownTensorAndOddBooleans) {
  TemporaryFolder folder;
  const auto file = SafetensorsFile::open(folder.write(
      "a",
      safetensors_bytes(R"({"flags":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})", std::string("\0\1\2", 3))));
  expect_error(ErrorKind::checkpoint, "no tensor 'x'", [&] { file->tensor("x"); });
  expect_error(ErrorKind::checkpoint, "byte 2 in the booleans", [&] { file->tensor("flags"); });
}

TEST(Safetensors, NotAFile) {
  TemporaryFolder folder;
  refuses(folder / "absent.safetensors", "No such file", ErrorKind::io);
  refuses(folder.path(), "is a folder");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  refuses(folder / "pipe", "not a regular file");
  if (::geteuid() != 0) {
    const auto secret = folder.write("secret", "x");
    std::filesystem::permissions(secret, std::filesystem::perms::none);
    refuses(secret, "permission", ErrorKind::io);
  }
}

TEST(Safetensors, ShortAndAbsurdHeaders) {
  TemporaryFolder folder;
  refuses(folder.write("a", ""), "is empty");
  refuses(folder.write("b", "1234567"), "only 7 bytes");
  refuses(folder.write("c", little_endian(0)), "header of length 0");
  refuses(folder.write("d", little_endian(0) + "{}"), "header of length 0");
  refuses(folder.write("e", little_endian(100) + "{}"), "98 of the header's 100 bytes are missing");
  refuses(folder.write("f", little_endian(10'000'000'000) + "{}"), "claims a header of 10000000000 bytes");
  refuses(folder.write("g", little_endian(~uint64_t{0}) + "{}"), "claims a header of 18446744073709551615 bytes");
  const auto sparse = folder.write("h", little_endian(100'000'001) + "{");
  std::filesystem::resize_file(sparse, 200'000'000);
  refuses(sparse, "the format allows 100000000");
}

//! A header of ten gigabytes inside a (sparse) file that has them must not be read into memory either.
TEST(Safetensors, GiantHeaderAllocatesNothing) {
  TemporaryFolder folder;
  const auto sparse = folder.write("a", little_endian(10'000'000'000) + "{");
  std::filesystem::resize_file(sparse, 12'000'000'000);
  struct rusage before {
  }, after{};
  ::getrusage(RUSAGE_SELF, &before);
  refuses(sparse, "claims a header");
  ::getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 10'000);  // KiB
}

TEST(Safetensors, TruncatedFileSaysHowMuchIsMissing) {
  TemporaryFolder folder;
  write_safetensors(folder / "a", {{"x", Tensor::full({1000}, 1.0f)}});
  const auto size = std::filesystem::file_size(folder / "a");
  std::filesystem::resize_file(folder / "a", size - 1234);
  refuses(folder / "a", "1234 of the 4000 bytes of its tensors are missing");
  std::filesystem::resize_file(folder / "a", 20);
  refuses(folder / "a", "cut off in its header");
}

TEST(Safetensors, OtherFormatsAreNamed) {
  TemporaryFolder folder;
  refuses(folder.write("a", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"), "git lfs pull");
  refuses(folder.write("b", "<!DOCTYPE html><html></html>"), "web page");
  refuses(folder.write("c",
                       "PK\x03\x04"
                       "archive/data.pkl"),
          "pickled");
  refuses(folder.write("d", "GGUF\x03......"), "GGUF");
}

TEST(Safetensors, ReadsPublishedFiles) {
  const auto file = SafetensorsFile::open(PRAX_TEST_DATA "/cases/random_numbers/tensors.safetensors");
  ASSERT_FALSE(file->entries().empty());
  for (const auto& [name, entry] : file->entries()) {
    const Tensor tensor = file->tensor(name);
    EXPECT_EQ(tensor.shape(), entry.shape);
    require_finite(tensor, name);
  }
}

//! Whatever happens to the bytes of a file: it loads, or an Error says why not.
TEST(Safetensors, FuzzedFilesLoadOrThrow) {
  TemporaryFolder folder;
  const std::vector<int64_t> integers{1, 2, 3};
  const std::vector<uint8_t> bytes{0, 1};
  write_safetensors(folder / "seed",
                    {{"block.0.weight", Tensor::full({4, 3}, 0.5f)},
                     {"block.0.bias", Tensor::full({4}, 0.5f).to(DType::bf16)},
                     {"ids", Tensor::from<int64_t>({3}, integers)},
                     {"bytes", Tensor::from<uint8_t>({2}, bytes)}},
                    {{"format", "pt"}});
  const std::string seed = read_bytes(folder / "seed");
  const std::string tokens = "{}[]\",:0123456789-.eE\\ \n\x80tfnFBUI";
  std::mt19937 random(20240611);
  const auto below = [&](size_t limit) { return static_cast<size_t>(random() % limit); };
  int loaded = 0, refused = 0;
  for (int round = 0; round < 6000; ++round) {
    std::string bytes_now = seed;
    for (size_t edits = 1 + below(4); edits > 0 && !bytes_now.empty(); --edits) {
      const size_t at = below(bytes_now.size());
      switch (below(7)) {
        case 0:
          bytes_now[at] = static_cast<char>(random());
          break;
        case 1:
          bytes_now[at] = tokens[below(tokens.size())];
          break;
        case 2:
          bytes_now.erase(at, 1 + below(8));
          break;
        case 3:
          bytes_now.insert(at, 1, tokens[below(tokens.size())]);
          break;
        case 4:
          bytes_now.resize(at);
          break;
        case 5:
          bytes_now.insert(at, bytes_now.substr(below(bytes_now.size()), below(64)));
          break;
        default:
          bytes_now[below(std::min<size_t>(8, bytes_now.size()))] = static_cast<char>(random());
          break;
      }
      // Half of the time the length still fits, so that the changed JSON is reached.
      if (bytes_now.size() > 8 && below(2)) {
        const auto end = bytes_now.rfind('}');
        if (end != std::string::npos && end > 8) bytes_now.replace(0, 8, little_endian(end + 1 - 8));
      }
    }
    const auto path = folder.write("fuzzed", bytes_now);
    try {
      const auto file = SafetensorsFile::open(path);
      for (const auto& [name, entry] : file->entries()) {
        const Tensor tensor = file->tensor(name);
        const auto* begin = static_cast<const uint8_t*>(tensor.raw());
        volatile uint8_t sum = 0;
        for (size_t i = 0; i < tensor.bytes(); ++i) sum = static_cast<uint8_t>(sum + begin[i]);
      }
      ++loaded;
    } catch (const Error& error) {
      ++refused;
      ASSERT_FALSE(error.hint().empty()) << error.what();
    }
  }
  EXPECT_GT(loaded, 30);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace prax::checkpoint

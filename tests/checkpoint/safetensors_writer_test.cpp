#include <sys/resource.h>

#include <csignal>
#include <cstring>

#include "checkpoint/safetensors.h"
#include "checkpoint/support.h"

namespace prax::checkpoint {
namespace {

size_t files_in(const std::filesystem::path& folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

//! A tensor of n elements with distinct bytes.
Tensor patterned(DType dtype, int64_t n) {
  Tensor tensor = Tensor::empty({n}, dtype);
  auto* bytes = static_cast<uint8_t*>(tensor.raw());
  for (size_t i = 0; i < tensor.bytes(); ++i)
    bytes[i] = static_cast<uint8_t>(dtype == DType::boolean ? i % 2 : i * 7 + static_cast<size_t>(dtype) + 1);
  return tensor;
}

TEST(SafetensorsWriter, RoundTripOfAllTypes) {
  TemporaryFolder folder;
  std::map<std::string, Tensor> tensors;
  for (DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::f8_e4m3, DType::f8_e5m2, DType::i64,
                      DType::i32, DType::u8, DType::boolean})
    for (int64_t n : {0, 1, 3, 17})
      tensors[std::string(name_of(dtype)) + "." + std::to_string(n)] = patterned(dtype, n);
  tensors["matrix"] = patterned(DType::f32, 6).view({1, 2, 3});
  tensors["scalar"] = patterned(DType::i32, 1).view({});
  const std::map<std::string, std::string> metadata{{"format", "pt"}, {"odd \"text\"\n", "\xc3\xa9\\"}};
  write_safetensors(folder / "all.safetensors", tensors, metadata);

  const auto file = SafetensorsFile::open(folder / "all.safetensors");
  EXPECT_EQ(file->metadata(), metadata);
  ASSERT_EQ(file->entries().size(), tensors.size());
  for (const auto& [name, written] : tensors) {
    const Tensor read = file->tensor(name);
    EXPECT_EQ(read.dtype(), written.dtype()) << name;
    EXPECT_EQ(read.shape(), written.shape()) << name;
    EXPECT_EQ(read.raw(), file->tensor(name).raw()) << name << " is not aligned in the file";
    EXPECT_TRUE(read.bytes() == 0 || std::memcmp(read.raw(), written.raw(), read.bytes()) == 0) << name;
  }
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(SafetensorsWriter, HeaderIsPaddedWithSpaces) {
  TemporaryFolder folder;
  for (int length = 1; length <= 8; ++length) {
    write_safetensors(folder / "a", {{std::string(length, 'n'), Tensor::full({1}, 1.0f)}});
    const std::string bytes = read_bytes(folder / "a");
    uint64_t header = 0;
    std::memcpy(&header, bytes.data(), 8);
    EXPECT_EQ(header % 8, 0u);
    const std::string text = bytes.substr(8, header);
    EXPECT_EQ(text[text.find_last_not_of(' ')], '}');
    EXPECT_EQ(bytes.size(), 8 + header + 4);
  }
}

//! The bytes that safetensors 0.8.0 writes for one zero of each type.
TEST(SafetensorsWriter, WritesTheReferencesBytes) {
  TemporaryFolder folder;
  const std::vector<std::pair<std::string, DType>> types{
      {"a", DType::boolean}, {"b", DType::u8},   {"c", DType::f8_e5m2}, {"d", DType::f8_e4m3},
      {"e", DType::f16},     {"f", DType::bf16}, {"g", DType::i32},     {"h", DType::f32},
      {"i", DType::f64},     {"j", DType::i64},  {"k", DType::f32}};
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, dtype] : types) tensors[name] = Tensor::zeros({1}, dtype);
  write_safetensors(folder / "x", tensors, {{"format", "pt"}});
  std::string header = R"({"__metadata__":{"format":"pt"},"j":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
                       R"("i":{"dtype":"F64","shape":[1],"data_offsets":[8,16]},)"
                       R"("h":{"dtype":"F32","shape":[1],"data_offsets":[16,20]},)"
                       R"("k":{"dtype":"F32","shape":[1],"data_offsets":[20,24]},)"
                       R"("g":{"dtype":"I32","shape":[1],"data_offsets":[24,28]},)"
                       R"("f":{"dtype":"BF16","shape":[1],"data_offsets":[28,30]},)"
                       R"("e":{"dtype":"F16","shape":[1],"data_offsets":[30,32]},)"
                       R"("d":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[32,33]},)"
                       R"("c":{"dtype":"F8_E5M2","shape":[1],"data_offsets":[33,34]},)"
                       R"("b":{"dtype":"U8","shape":[1],"data_offsets":[34,35]},)"
                       R"("a":{"dtype":"BOOL","shape":[1],"data_offsets":[35,36]}})";
  while (header.size() % 8) header += ' ';
  EXPECT_EQ(read_bytes(folder / "x"), safetensors_bytes(header, std::string(36, '\0')));
}

TEST(SafetensorsWriter, ReplacesAnOldFile) {
  TemporaryFolder folder;
  folder.write("a", "old");
  write_safetensors(folder / "a", {{"x", Tensor::full({2}, 4.0f)}});
  EXPECT_EQ(SafetensorsFile::open(folder / "a")->tensor("x").data<float>()[1], 4.0f);
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(SafetensorsWriter, AFullDiskLeavesTheOldFileAndNoRest) {
  TemporaryFolder folder;
  folder.write("a", "old");
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto* handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = before;
  small.rlim_cur = 100'000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_error(ErrorKind::disk_full, "cannot write '" + (folder / "a").string(), [&] {
    write_safetensors(folder / "a", {{"x", Tensor::full({100'000}, 4.0f)}});  // a short write, then an error
  });
  expect_error(ErrorKind::disk_full, "free some space", [&] {
    write_safetensors(folder / "new", {{"x", Tensor::full({100'000}, 4.0f)}});
  });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_bytes(folder / "a"), "old");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(SafetensorsWriter, PlacesThatCannotBeWritten) {
  TemporaryFolder folder;
  const std::map<std::string, Tensor> tensors{{"x", Tensor::full({2}, 4.0f)}};
  expect_error(ErrorKind::io, "No such file", [&] { write_safetensors(folder / "none/a", tensors); });
  std::filesystem::create_directory(folder / "sub");
  folder.write("sub/inner", "");
  expect_error(ErrorKind::io, "Is a directory", [&] { write_safetensors(folder / "sub", tensors); });
  EXPECT_EQ(files_in(folder.path()), 1u);
  EXPECT_EQ(files_in(folder / "sub"), 1u);
}

TEST(SafetensorsWriter, RefusesWhatTheFormatCannotHold) {
  TemporaryFolder folder;
  const Tensor x = Tensor::full({2}, 4.0f);
  expect_error(ErrorKind::usage, "__metadata__", [&] { write_safetensors(folder / "a", {{"__metadata__", x}}); });
  expect_error(ErrorKind::usage, "UTF-8", [&] { write_safetensors(folder / "a", {{"\xff", x}}); });
  EXPECT_THROW(write_safetensors(folder / "a", {{"m", Tensor::meta({2}, DType::f32)}}), Error);
  EXPECT_EQ(files_in(folder.path()), 0u);
}

}  // namespace
}  // namespace prax::checkpoint

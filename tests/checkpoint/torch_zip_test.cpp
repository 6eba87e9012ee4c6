#include "checkpoint/torch_zip.h"

#include <functional>
#include <random>
#include <vector>

#include "checkpoint/safetensors.h"
#include "checkpoint/state_dict_pickle.h"
#include "checkpoint/support.h"
#include "checkpoint/zip_directory.h"

namespace prax::checkpoint {
namespace {

std::string number(uint64_t value, size_t bytes) { return little_endian(value).substr(0, bytes); }

//! A zip archive of stored files, with whatever is wrong with it.
struct Zip {
  struct File {
    std::string name, data;
    uint16_t flags = 0, method = 0;
    std::string local_name;  //!< where it is another
  };
  std::vector<File> files;
  bool zip64 = false;
  std::string comment;

  std::string bytes() const {
    std::string out, directory;
    for (const File& f : files) {
      const std::string local_name = f.local_name.empty() ? f.name : f.local_name;
      const uint64_t offset = out.size();
      const std::string sizes = number(f.data.size(), 4) + number(f.data.size(), 4);
      out += number(0x04034b50, 4) + number(20, 2) + number(f.flags, 2) + number(f.method, 2) + number(0, 8) + sizes +
             number(local_name.size(), 2) + number(0, 2) + local_name + f.data;
      const std::string extra =
          zip64 ? number(1, 2) + number(24, 2) + number(f.data.size(), 8) + number(f.data.size(), 8) + number(offset, 8)
                : "";
      directory += number(0x02014b50, 4) + number(20, 2) + number(20, 2) + number(f.flags, 2) + number(f.method, 2) +
                   number(0, 8) + (zip64 ? number(~uint64_t{0}, 8) : sizes) + number(f.name.size(), 2) +
                   number(extra.size(), 2) + number(0, 2) + number(0, 8) +
                   (zip64 ? number(~uint64_t{0}, 4) : number(offset, 4)) + f.name + extra;
    }
    const uint64_t begin = out.size();
    out += directory;
    if (zip64) {
      const uint64_t end = out.size();
      out += number(0x06064b50, 4) + number(44, 8) + number(45, 2) + number(45, 2) + number(0, 8) +
             number(files.size(), 8) + number(files.size(), 8) + number(directory.size(), 8) + number(begin, 8);
      out += number(0x07064b50, 4) + number(0, 4) + number(end, 8) + number(1, 4);
    }
    out += number(0x06054b50, 4) + number(0, 4) + number(files.size(), 2) + number(files.size(), 2) +
           number(directory.size(), 4) + (zip64 ? number(~uint64_t{0}, 4) : number(begin, 4)) +
           number(comment.size(), 2) + comment;
    return out;
  }
};

// Pieces of pickles.
std::string text(const std::string& value) { return "X" + number(value.size(), 4) + value; }
std::string whole(int64_t value) { return "J" + number(static_cast<uint64_t>(value), 4); }
std::string tuple(const std::vector<int64_t>& values) {
  std::string out = "(";
  for (int64_t v : values) out += whole(v);
  return out + "t";
}
const std::string ordered_dict = "ccollections\nOrderedDict\n)R";

struct View {
  std::string storage = "FloatStorage", key = "0";
  int64_t elements = 6, offset = 0;
  std::vector<int64_t> shape = {2, 3}, strides = {3, 1};
};
std::string tensor(const View& v) {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\n" + v.storage + "\n" + text(v.key) +
         text("cpu") + whole(v.elements) + "tQ" + whole(v.offset) + tuple(v.shape) + tuple(v.strides) + "\x89" +
         ordered_dict + "tR";
}
std::string dict_of(const std::string& items) { return "\x80\x02" + ordered_dict + "(" + items + "u."; }
std::string dict_of(const View& v) { return dict_of(text("x") + tensor(v)); }

std::string floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}
Zip archive_of(const std::string& pickle, const std::string& data = floats({0, 1, 2, 3, 4, 5})) {
  Zip zip;
  for (const auto& [name, bytes] : {std::pair<std::string, std::string>{"weights/data.pkl", pickle},
                                    {"weights/byteorder", "little"},
                                    {"weights/data/0", data},
                                    {"weights/version", "3\n"}}) {
    zip.files.emplace_back();
    zip.files.back().name = name;
    zip.files.back().data = bytes;
  }
  return zip;
}

class TorchZip : public testing::Test {
protected:
  std::shared_ptr<TensorSource> open(const std::string& bytes) { return open_torch_zip(root_.write("x.bin", bytes)); }
  void refuses(const Zip& zip, const std::string& part) {
    SCOPED_TRACE(part);
    expect_error(ErrorKind::checkpoint, part, [&] { open(zip.bytes()); });
  }
  void refuses(const std::string& pickle, const std::string& part) { refuses(archive_of(pickle), part); }
  std::vector<float> values(const View& v, const std::string& data = floats({0, 1, 2, 3, 4, 5})) {
    const Tensor t = open(archive_of(dict_of(v), data).bytes())->get("x", v.shape);
    return {t.data<float>(), t.data<float>() + t.numel()};
  }
  TemporaryFolder root_;
};

TEST_F(TorchZip, HoldsWhatTheSafetensorsFileHolds) {
  const std::filesystem::path folder =
      std::filesystem::path(PRAX_TEST_DATA) / "cases" / "pyramid_flow" / "checkpoint_flux" / "causal_video_vae";
  const auto file = SafetensorsFile::open(folder / "diffusion_pytorch_model.safetensors");
  const auto source = open_torch_zip(folder / "diffusion_pytorch_model.bin");
  EXPECT_EQ(source->list().size(), file->entries().size());
  EXPECT_EQ(source->unused().size(), file->entries().size());
  for (const auto& [name, entry] : file->entries()) {
    ASSERT_TRUE(source->contains(name)) << name;
    const Tensor got = source->get(name, entry.shape), want = file->tensor(name);
    EXPECT_EQ(got.dtype(), want.dtype());
    got.let_go();
    EXPECT_EQ(std::memcmp(got.raw(), want.raw(), want.bytes()), 0) << name;
  }
  EXPECT_TRUE(source->unused().empty());
}

TEST_F(TorchZip, ReadsViewsOfStorages) {
  EXPECT_EQ(values({}), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(values({.shape = {3, 2}, .strides = {1, 3}}), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(values({.offset = 4, .shape = {2}, .strides = {1}}), (std::vector<float>{4, 5}));
  EXPECT_EQ(values({.shape = {2}, .strides = {5}}), (std::vector<float>{0, 5}));
  EXPECT_EQ(values({.offset = 3, .shape = {}, .strides = {}}), (std::vector<float>{3}));
  EXPECT_TRUE(values({.shape = {0}, .strides = {1}}).empty());
  const auto source = open(archive_of(dict_of(View{})).bytes());
  expect_error(ErrorKind::checkpoint, "'y' is missing", [&] { source->get("y", {1}); });
  expect_error(ErrorKind::checkpoint, "is needed", [&] { source->get("x", {3, 2}); });
}

TEST_F(TorchZip, ReadsEveryTypeOfStorage) {
  const std::pair<const char*, DType> types[] = {{"FloatStorage", DType::f32},     {"HalfStorage", DType::f16},
                                                 {"BFloat16Storage", DType::bf16}, {"DoubleStorage", DType::f64},
                                                 {"LongStorage", DType::i64},      {"IntStorage", DType::i32},
                                                 {"ByteStorage", DType::u8},       {"BoolStorage", DType::boolean}};
  for (const auto& [name, dtype] : types) {
    const std::string pickle = dict_of(View{.storage = name});
    const auto source = open(archive_of(pickle, std::string(6 * size_of(dtype), '\1')).bytes());
    EXPECT_EQ(source->get("x", {2, 3}).dtype(), dtype) << name;
  }
}

TEST_F(TorchZip, ReadsWhatTorchWritesBesideTensors) {
  // A plain dict, memo, versions of modules on the OrderedDict.
  const std::string with_metadata = "\x80\x02" + ordered_dict + "q\1(" + text("x") + tensor({}) + "u}q\2" +
                                    text("_metadata") + "N\x88\x86" + "s" + "bh\1" + "0.";
  refuses(with_metadata, "opcode 48");  // POP
  const std::string built =
      "\x80\x02" + ordered_dict + "q\1(" + text("x") + tensor({}) + "u}" + text("_metadata") + ordered_dict + "sb.";
  EXPECT_TRUE(open(archive_of(built).bytes())->contains("x"));
  EXPECT_TRUE(open(archive_of("\x80\x02}" + text("x") + tensor({}) + "s.").bytes())->contains("x"));
  const std::string twice = text("x") + tensor({}) + "r" + number(300, 4) + text("y") + "j" + number(300, 4);
  EXPECT_TRUE(open(archive_of(dict_of(twice)).bytes())->contains("y"));
}

TEST_F(TorchZip, ReadsZip64AndComments) {
  Zip zip = archive_of(dict_of(View{}));
  zip.zip64 = true;
  EXPECT_TRUE(open(zip.bytes())->contains("x"));
  zip.zip64 = false;
  zip.comment = "a comment";
  EXPECT_TRUE(open(zip.bytes())->contains("x"));
}

TEST_F(TorchZip, RunsNoCode) {
  refuses(
      "\x80\x02"
      "cos\nsystem\n" +
          text("echo") + "\x85R.",
      "os.system");
  refuses(
      "\x80\x02"
      "cbuiltins\neval\n" +
          text("1") + "\x85R.",
      "builtins.eval");
  refuses(
      "\x80\x02"
      "ctorch\nload\n)R.",
      "torch.load");
  refuses(
      "\x80\x02"
      "ctorch._utils\n_rebuild_parameter\n)R.",
      "_rebuild_parameter");
  refuses(
      "\x80\x02"
      "(ios\nsystem\n.",
      "opcode 105");  // INST
  refuses(
      "\x80\x02"
      "ccollections\nOrderedDict\n)\x81.",
      "opcode 129");                         // NEWOBJ
  refuses("\x80\x02\x82\1.", "opcode 130");  // EXT1
}

TEST_F(TorchZip, RefusesWhatIsNoStateDict) {
  refuses("\x80\x02K\1.", "no dictionary");
  refuses("\x80\x02}K\1K\1s.", "no dictionary");
  refuses(dict_of(text("epoch") + "K\1"), "'epoch', which is no tensor");
  refuses(dict_of(text("x") + tensor({}) + text("x") + tensor({})), "'x' twice");
  refuses("\x80\x02}}.", "no dictionary");
  refuses("\x80\x04}.", "protocol 2");
  refuses("", "protocol 2");
  refuses("\x80\x02", "broken");
  refuses("\x80\x02.", "broken");
  refuses("\x80\x02h\1.", "broken");
  refuses("\x80\x02}K\1s.", "broken");
  refuses("\x80\x02}(K\1u.", "broken");
  refuses("\x80\x02X" + number(0xffffffff, 4) + ".", "broken");
  refuses("\x80\x02" + ordered_dict + "K\1b.", "broken");
  refuses(
      "\x80\x02"
      "ccollections\nOrderedDict",
      "broken");
}

TEST_F(TorchZip, RefusesViewsBeyondTheirData) {
  const auto refuses_view = [&](const View& v, const std::string& part) { refuses(dict_of(v), part); };
  refuses_view({.offset = 1}, "larger than its data");
  refuses_view({.shape = {2, 4}, .strides = {4, 1}}, "larger than its data");
  refuses_view({.shape = {2}, .strides = {6}}, "larger than its data");
  refuses_view({.shape = {1 << 30, 1 << 30, 1 << 30}, .strides = {0, 0, 0}}, "larger than its data");
  refuses_view({.shape = {7}, .strides = {0}}, "larger than its data");
  refuses_view({.elements = 7}, "of the 7 elements");
  refuses_view({.elements = 0, .shape = {}, .strides = {}}, "larger than its data");
  refuses_view({.offset = -1}, "broken");
  refuses_view({.shape = {-2, 3}}, "broken");
  refuses_view({.strides = {1}}, "broken");
  refuses_view({.shape = std::vector<int64_t>(17, 1), .strides = std::vector<int64_t>(17, 1)}, "broken");
  refuses_view({.storage = "UntypedStorage"}, "UntypedStorage");
  refuses_view({.key = "1"}, "the data of tensor 'x'");
}

TEST_F(TorchZip, RefusesBrokenArchives) {
  const std::string pickle = dict_of(View{});
  const auto with = [&](const std::function<void(Zip&)>& change, const std::string& part) {
    Zip zip = archive_of(pickle);
    change(zip);
    refuses(zip, part);
  };
  with([](Zip& z) { z.files[2].method = 8; }, "compressed file 'weights/data/0'");
  with([](Zip& z) { z.files[2].flags = 1; }, "encrypted");
  with([](Zip& z) { z.files[3].name = "weights/data/0"; }, "'weights/data/0' twice");
  with([](Zip& z) { z.files[1].local_name = "weights/byteordr"; }, "two ways");
  with([](Zip& z) { z.files[1].data = "big"; }, "byte order");
  with([](Zip& z) { z.files.erase(z.files.begin()); }, "without data.pkl");
  expect_error(ErrorKind::checkpoint, "before 1.6", [&] { open(pickle); });
  expect_error(ErrorKind::checkpoint, "no file of PyTorch's", [&] { open("hello"); });
  expect_error(ErrorKind::checkpoint, "empty", [&] { open(""); });
  expect_error(ErrorKind::checkpoint, "too short", [&] { open("PK\x03\x04"); });
  expect_error(ErrorKind::io, "cannot open", [&] { open_torch_zip(root_ / "none.bin"); });
  // Two entries of the directory at one place.
  std::string bytes = archive_of(pickle).bytes();
  const size_t first = bytes.find("PK\x01\x02"), second = bytes.find("PK\x01\x02", first + 1);
  bytes.replace(second + 42, 4, bytes.substr(first + 42, 4));
  expect_error(ErrorKind::checkpoint, "two ways", [&] { open(bytes); });
}

TEST_F(TorchZip, NoDamageDoesHarm) {
  Zip zip = archive_of(dict_of(text("x") + tensor({}) + text("y") + tensor({.shape = {3, 2}, .strides = {1, 3}})));
  for (const bool zip64 : {false, true}) {
    zip.zip64 = zip64;
    const std::string whole_file = zip.bytes();
    const auto survives = [&](const std::string& bytes, bool as_file) {
      try {
        for (const auto& [name, data] : read_zip_directory(bytes, "x"))
          if (name.ends_with("data.pkl")) read_state_dict_pickle(data, "x");
        if (!as_file) return;
        const auto source = open(bytes);
        for (const auto& info : source->list()) source->get(info.name, info.shape);
      } catch (const Error& e) {
        EXPECT_FALSE(std::string(e.what()).empty());
      }
    };
    for (size_t size = 0; size < whole_file.size(); ++size) survives(whole_file.substr(0, size), false);
    std::mt19937 random(7);
    for (size_t i = 0; i < 4 * whole_file.size(); ++i) {
      std::string bytes = whole_file;
      bytes[i / 4] = static_cast<char>(i % 4 == 0 ? 0xff : random());
      survives(bytes, i % 64 == 0);
    }
    for (int i = 0; i < 2000; ++i) {
      std::string bytes = whole_file;
      for (int k = 0; k < 4; ++k) bytes[random() % bytes.size()] = static_cast<char>(random());
      survives(bytes, i % 50 == 0);
    }
  }
}

TEST(StateDictPickle, EndsOnAnyBytes) {
  std::mt19937 random(3);
  const std::string opcodes = "(.JKMNQRX]b}chjqrst)u\x80\x85\x86\x87\x88\x89\x8a";
  for (int i = 0; i < 2000; ++i) {
    std::string bytes = "\x80\x02";
    for (size_t k = random() % 60; k > 0; --k)
      bytes += random() % 3 ? opcodes[random() % opcodes.size()] : static_cast<char>(random() % 8);
    EXPECT_THROW(read_state_dict_pickle(bytes + "\xff", "x"), Error);
  }
  // Deep and circular values take no stack.
  std::string deep = "\x80\x02)";
  deep.append(1 << 16, '\x85');
  EXPECT_THROW(read_state_dict_pickle(deep + ".", "x"), Error);
  EXPECT_THROW(read_state_dict_pickle("\x80\x02}q\1" + text("x") + "h\1s.", "x"), Error);
}

}  // namespace
}  // namespace prax::checkpoint

#include "checkpoint/torch_zip.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <set>

#include "base/error.h"
#include "checkpoint/json_text.h"
#include "checkpoint/mapped_file.h"
#include "checkpoint/messages.h"
#include "checkpoint/state_dict_pickle.h"
#include "checkpoint/zip_directory.h"

namespace prax::checkpoint {

namespace {

constexpr std::string_view zip_start("PK\x03\x04", 4);
constexpr std::string_view pickle_name = "/data.pkl";

bool is_contiguous(const PickledTensor& t) {
  int64_t expected = 1;
  for (size_t i = t.shape.size(); i-- > 0;) {
    if (t.shape[i] != 1 && t.strides[i] != expected) return false;
    expected *= t.shape[i];
  }
  return true;
}

class TorchZip : public TensorSource {
public:
  explicit TorchZip(const std::filesystem::path& path)
      : path_(path), mapped_(map_file(path, "file of PyTorch's weights")) {
    if (!mapped_.bytes.starts_with(zip_start))
      throw Error(ErrorKind::checkpoint,
                  named(path) + (mapped_.bytes.starts_with("\x80\x02") ? " is of a PyTorch before 1.6"
                                                                       : " is no file of PyTorch's weights"),
                  "download the checkpoint as safetensors, or save it again");
    const auto files = read_zip_directory(mapped_.bytes, named(path));
    const auto pickle =
        std::find_if(files.begin(), files.end(), [](const auto& file) { return file.first.ends_with(pickle_name); });
    if (pickle == files.end())
      throw Error(ErrorKind::checkpoint, named(path) + " is a zip archive without data.pkl",
                  "it holds no weights of PyTorch; download the file again");
    const std::string folder = pickle->first.substr(0, pickle->first.size() - pickle_name.size());
    if (const auto order = files.find(folder + "/byteorder"); order != files.end() && order->second != "little")
      throw Error(ErrorKind::checkpoint, named(path) + " is of a machine with another byte order",
                  "download the checkpoint as safetensors");
    for (auto& [name, tensor] : read_state_dict_pickle(pickle->second, named(path))) {
      const auto data = files.find(folder + "/data/" + tensor.storage);
      if (data == files.end())
        throw Error(ErrorKind::checkpoint, named(path) + " does not hold the data of tensor " + in_quotes(name),
                    "the file is damaged; download it again");
      if (data->second.size() / size_of(tensor.dtype) < static_cast<uint64_t>(tensor.storage_size))
        throw Error(ErrorKind::checkpoint,
                    named(path) + " holds " + std::to_string(data->second.size()) + " bytes of the " +
                        std::to_string(tensor.storage_size) + " elements of tensor " + in_quotes(name),
                    "the file is damaged; download it again");
      tensors_.emplace(name, Entry{tensor, data->second.data()});
    }
  }

  bool contains(const std::string& name) const override { return tensors_.contains(name); }

  Tensor get(const std::string& name, const Shape& shape) override {
    const auto it = tensors_.find(name);
    if (it == tensors_.end())
      throw Error(ErrorKind::checkpoint, "tensor " + in_quotes(name) + " is missing in " + named(path_),
                  "the checkpoint is incomplete or of another model; download the folder again");
    const PickledTensor& t = it->second.tensor;
    if (t.shape != shape)
      throw Error(ErrorKind::checkpoint,
                  "tensor " + in_quotes(name) + " in " + named(path_) + " is " + to_string(t.shape) + ", but " +
                      to_string(shape) + " is needed",
                  "config.json and the weights belong to different models; download the folder again");
    {
      const std::lock_guard lock(mutex_);
      used_.insert(name);
    }
    const size_t size = size_of(t.dtype);
    const char* first = it->second.data + static_cast<size_t>(t.offset) * size;
    const bool aligned = reinterpret_cast<uintptr_t>(first) % size == 0;
    // Any other byte read as a C++ bool is undefined, so booleans are copied, too.
    if (is_contiguous(t) && aligned && t.dtype != DType::boolean)
      return Tensor::borrow(t.shape, t.dtype, first, mapped_.memory);
    return copied(t, first);
  }

  std::vector<std::string> unused() const override {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [name, entry] : tensors_)
      if (!used_.contains(name)) names.push_back(name);
    return names;
  }

  std::vector<TensorInfo> list() const override {
    std::vector<TensorInfo> infos;
    for (const auto& [name, entry] : tensors_) infos.push_back({name, entry.tensor.dtype, entry.tensor.shape});
    return infos;
  }

  std::string description() const override { return path_.string(); }

private:
  struct Entry {
    PickledTensor tensor;
    const char* data;  //!< of its storage
  };

  static Tensor copied(const PickledTensor& t, const char* first) {
    Tensor out = Tensor::empty(t.shape, t.dtype);
    const size_t size = size_of(t.dtype);
    char* to = static_cast<char*>(out.raw());
    std::vector<int64_t> index(t.shape.size());
    for (int64_t i = 0; i < out.numel(); ++i, to += size) {
      int64_t at = 0;
      for (size_t d = 0; d < index.size(); ++d) at += index[d] * t.strides[d];
      std::memcpy(to, first + static_cast<size_t>(at) * size, size);
      if (t.dtype == DType::boolean) *to = *to != 0;
      for (size_t d = index.size(); d-- > 0 && ++index[d] == t.shape[d];) index[d] = 0;
    }
    return out;
  }

  std::filesystem::path path_;
  MappedFile mapped_;
  std::map<std::string, Entry> tensors_;
  mutable std::mutex mutex_;
  std::set<std::string> used_;
};

}  // namespace

std::shared_ptr<TensorSource> open_torch_zip(const std::filesystem::path& path) {
  return std::make_shared<TorchZip>(path);
}

}  // namespace prax::checkpoint

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <unordered_map>

#include "base/error.h"
#include "checkpoint/json_text.h"
#include "checkpoint/messages.h"
#include "checkpoint/quantization.h"
#include "checkpoint/safetensors.h"

namespace prax::checkpoint {

namespace {

//! Levenshtein distance, or `limit` + 1 when it is larger.
size_t edit_distance(const std::string& a, const std::string& b, size_t limit) {
  if (std::max(a.size(), b.size()) - std::min(a.size(), b.size()) > limit) return limit + 1;
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    size_t smallest = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
      smallest = std::min(smallest, row[j]);
    }
    if (smallest > limit) return limit + 1;
  }
  return std::min(row.back(), limit + 1);
}

bool ends_in_part(const std::string& text, const std::string& part) {
  return text.size() > part.size() && text.ends_with(part) && text[text.size() - part.size() - 1] == '.';
}

class FileSource : public TensorSource {
public:
  explicit FileSource(std::vector<std::shared_ptr<SafetensorsFile>> files) : files_(std::move(files)) {
    for (const auto& file : files_) {
      require_known_quantization(file->metadata(), file->path().string());
      for (const auto& [name, entry] : file->entries()) {
        const auto [it, fresh] = owners_.emplace(name, file.get());
        if (!fresh)
          throw Error(
              ErrorKind::checkpoint,
              "tensor " + in_quotes(name) + " is in " + named(it->second->path()) + " and in " + named(file->path()),
              "remove the files that do not belong to the checkpoint, or download it again");
      }
    }
  }

  bool contains(const std::string& name) const override { return owners_.contains(name); }

  Tensor get(const std::string& name, const Shape& shape) override {
    const auto it = owners_.find(name);
    if (it == owners_.end())
      throw Error(ErrorKind::checkpoint,
                  "tensor " + in_quotes(name) + " is missing in " + in_quotes(description(), 400), hint_for(name));
    const auto& entry = it->second->entries().at(name);
    if (entry.shape != shape)
      throw Error(ErrorKind::checkpoint,
                  "tensor " + in_quotes(name) + " in " + named(it->second->path()) + " has the shape " +
                      to_string(entry.shape) + " where the configuration makes it " + to_string(shape),
                  "config.json and the weights belong to different models; download the folder again");
    Tensor tensor = it->second->tensor(name);
    std::lock_guard lock(mutex_);
    used_.insert(name);
    return tensor;
  }

  std::vector<std::string> unused() const override {
    std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [name, file] : owners_)
      if (!used_.contains(name)) names.push_back(name);
    return names;
  }

  std::vector<TensorInfo> list() const override {
    std::vector<TensorInfo> all;
    for (const auto& [name, file] : owners_) {
      const auto& entry = file->entries().at(name);
      all.push_back({name, entry.dtype, entry.shape});
    }
    return all;
  }

  std::string description() const override {
    if (files_.empty()) return "no file";
    if (files_.size() == 1) return files_.front()->path().string();
    return (files_.front()->path().parent_path() / "").string() + " (" + std::to_string(files_.size()) + " files)";
  }

private:
  std::string hint_for(const std::string& name) const {
    constexpr size_t shown = 3;
    const size_t limit = std::max<size_t>(2, name.size() / 6);
    std::vector<std::pair<size_t, std::string>> near;
    for (const auto& [other, file] : owners_) {
      // A prefix more or less means another layout of the same model.
      const bool part = ends_in_part(other, name) || ends_in_part(name, other);
      const size_t distance = part ? 0 : edit_distance(name, other, limit);
      if (distance <= limit) near.emplace_back(distance, other);
    }
    if (near.empty()) return "the checkpoint is incomplete or of another model; download the folder again";
    std::sort(near.begin(), near.end());
    std::string list;
    for (size_t i = 0; i < std::min(shown, near.size()); ++i) list += (i ? ", " : "") + in_quotes(near[i].second);
    return "the nearest names there are " + list + "; is the checkpoint of another version or layout?";
  }

  std::vector<std::shared_ptr<SafetensorsFile>> files_;
  std::map<std::string, SafetensorsFile*> owners_;
  mutable std::mutex mutex_;
  std::set<std::string> used_;
};

}  // namespace

std::shared_ptr<TensorSource> join_safetensors(std::vector<std::shared_ptr<SafetensorsFile>> files) {
  return std::make_shared<FileSource>(std::move(files));
}

std::shared_ptr<TensorSource> open_safetensors(const std::vector<std::filesystem::path>& files) {
  std::vector<std::shared_ptr<SafetensorsFile>> opened;
  for (const auto& file : files) opened.push_back(SafetensorsFile::open(file));
  return join_safetensors(std::move(opened));
}

}  // namespace prax::checkpoint

#include "pipelines/prompt_cache.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/paths.h"
#include "checkpoint/safetensors.h"
#include "kernels/isa.h"

namespace prax::pipelines {

namespace {

namespace fs = std::filesystem;

constexpr const char* prompt_format = "praxinoscope-prompt-1";
constexpr const char* tensor_name = "states";

//! Adds a part in such a way that no two lists of parts look alike.
void add(Sha256& hash, std::string_view part) { hash.add(std::to_string(part.size())).add(":").add(part); }

void add(Sha256& hash, const std::vector<int64_t>& numbers) {
  add(hash, {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(int64_t)});
}

//! Size and time of change of a file; where it is a link into a store, its name there, which may be its hash.
void add_stamp(Sha256& hash, const fs::path& file) {
  std::error_code ignored;
  add(hash, fs::canonical(file, ignored).filename().string());
  add(hash, std::to_string(fs::file_size(file, ignored)));
  add(hash, std::to_string(fs::last_write_time(file, ignored).time_since_epoch().count()));
}

std::string content_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string hash_of(const Tensor& tensor) {
  return hex(sha256({static_cast<const char*>(tensor.raw()), tensor.bytes()}));
}

//! What a file of the cache holds; undefined where there is none. Error for one that is broken.
Tensor read(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return {};
  const auto file = checkpoint::SafetensorsFile::open(path);
  const auto metadata = [&](const char* key) {
    const auto it = file->metadata().find(key);
    return it == file->metadata().end() ? std::string() : it->second;
  };
  if (metadata("format") != prompt_format || !file->entries().contains(tensor_name))
    throw Error(ErrorKind::input, path.string() + " is no encoded prompt");
  Tensor states = file->tensor(tensor_name).clone();
  if (states.dtype() != DType::f32 || states.rank() < 1 || hash_of(states) != metadata("sha256"))
    throw Error(ErrorKind::input, path.string() + " is not what was written");
  fs::last_write_time(path, fs::file_time_type::clock::now(), ignored);  // used just now
  return states;
}

}  // namespace

std::string PromptCache::identity_of(const std::string& component) const {
  Sha256 hash;
  add(hash, prompt_format);
  add_stamp(hash, program_path());
  add(hash, name_of(wide_dtype(options_.dtype)));
  add(hash, kernels::name_of(kernels::isa()));
  add(hash, options_.variant);
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder_.component_path(component)))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    add(hash, file.filename().string());
    if (file.extension() == ".json") {
      add(hash, content_of(file));
    } else {
      add_stamp(hash, file);
    }
  }
  return hex(hash.finish());
}

Tensor PromptCache::encoded(const std::string& component, const Tokens& ids, const Tokens& masks,
                            const Encode& encode) const {
  if (!on()) return encode(ids, masks);
  const std::string identity = identity_of(component);
  std::vector<fs::path> files;
  std::vector<Tensor> states(ids.size());
  Tokens missing_ids, missing_masks;
  std::vector<size_t> missing;
  for (size_t i = 0; i < ids.size(); ++i) {
    Sha256 hash;
    add(hash, identity);
    add(hash, ids[i]);
    add(hash, masks.empty() ? std::vector<int64_t>{} : masks[i]);
    files.push_back(options_.prompt_cache / (hex(hash.finish()) + ".safetensors"));
    try {
      states[i] = read(files[i]);
    } catch (const Error& error) {
      log_warning("an encoded prompt of the cache is broken and made anew: " + std::string(error.what()));
    }
    if (states[i].defined()) continue;
    missing.push_back(i);
    missing_ids.push_back(ids[i]);
    if (!masks.empty()) missing_masks.push_back(masks[i]);
  }
  if (!missing.empty()) {
    const Tensor made = encode(missing_ids, missing_masks);
    for (size_t j = 0; j < missing.size(); ++j) {
      const auto row = static_cast<int64_t>(j);
      const Tensor own = made.slice(row, row + 1);
      states[missing[j]] = own.view({own.shape().begin() + 1, own.shape().end()});
      store(files[missing[j]], states[missing[j]]);
    }
  }
  for (Tensor& each : states) {
    Shape shape{1};
    shape.insert(shape.end(), each.shape().begin(), each.shape().end());
    each = each.view(shape);
  }
  return Tensor::concat(states, 0);
}

void PromptCache::store(const fs::path& file, const Tensor& states) const {
  try {
    std::error_code error;
    // Prompts are nobody else's business.
    if (fs::create_directories(file.parent_path(), error))
      fs::permissions(file.parent_path(), fs::perms::owner_all, error);
    checkpoint::write_safetensors(file, {{tensor_name, states}},
                                  {{"format", prompt_format}, {"sha256", hash_of(states)}});
    make_room();
  } catch (const Error& error) {
    log_warning("an encoded prompt could not be kept: " + std::string(error.what()));
  }
}

void PromptCache::make_room() const {
  struct File {
    fs::path path;
    uint64_t bytes;
    fs::file_time_type used;
  };
  std::vector<File> files;
  uint64_t bytes = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(options_.prompt_cache, error)) {
    std::error_code gone;  // another process may be at it, too
    if (!entry.is_regular_file(gone)) continue;
    const File file{entry.path(), entry.file_size(gone), entry.last_write_time(gone)};
    if (gone) continue;
    bytes += file.bytes;
    files.push_back(file);
  }
  std::sort(files.begin(), files.end(), [](const File& a, const File& b) { return a.used < b.used; });
  for (size_t i = 0; i + 1 < files.size() && bytes > options_.prompt_cache_bytes; ++i) {
    fs::remove(files[i].path, error);
    bytes -= files[i].bytes;
  }
}

}  // namespace prax::pipelines

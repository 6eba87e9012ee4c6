#include "pipelines/quantize.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checkpoint/folder.h"
#include "checkpoint/new_folder.h"
#include "checkpoint/quantization.h"
#include "checkpoint/safetensors.h"
#include "kernels/quantized_matmul.h"
#include "nn/linear.h"
#include "pipelines/denoisers.h"
#include "pipelines/pipeline.h"
#include "tensor/memory.h"

namespace prax::pipelines {

namespace {

namespace fs = std::filesystem;

//! Goes through one denoiser's weights twice: what int8 would take from each is known before the first byte of the new
//! file is written, whose header says what is in it.
class DenoiserFiles {
public:
  DenoiserFiles(const checkpoint::Folder& folder, const std::string& component, const QuantizeOptions& options)
      : options_(options), source_(folder.weights(component, options.variant)) {
    for (const auto& info : source_->list()) tensors_.emplace(info.name, info);
    const auto noting = std::make_shared<checkpoint::NotingSource>(source_);
    describe_denoiser(folder.config(component), noting, DType::i8);
    products_ = noting->products();
    for (const auto& [name, info] : tensors_)
      if (info.dtype == DType::i8)
        throw Error(ErrorKind::usage, folder.path().string() + " is int8 already",
                    "use it as it is, or give the original folder");
  }

  int64_t matrices() const {
    int64_t count = 0;
    for (const auto& product : products_) count += static_cast<int64_t>(product.weights.size());
    return count;
  }
  int64_t tensors() const { return static_cast<int64_t>(tensors_.size()); }

  //! Decides for each product, and keeps the scales of those that become int8. Calls back after each matrix.
  void measure(QuantizeReport& report, const std::function<void()>& done) {
    for (const auto& product : products_) {
      std::map<std::string, Tensor> scales;
      std::vector<kernels::QuantizationLoss> losses(static_cast<size_t>(product.pieces));
      for (const std::string& name : product.weights) {
        if (options_.cancel) options_.cancel->check();
        const Tensor stored = read(name), weight = stored.view({stored.dim(0), -1});
        checkpoint::require_finite(stored, name);
        const int64_t rows = weight.dim(0) / product.pieces;
        std::vector<Tensor> pieces;
        for (int64_t p = 0; p < product.pieces; ++p)
          pieces.push_back(
              kernels::quantize_rows(weight.slice(p * rows, (p + 1) * rows), losses[static_cast<size_t>(p)]).scales);
        scales.emplace(name, Tensor::concat(pieces, 0));
        stored.let_go();
        done();
      }
      double worst = 0;
      for (const auto& loss : losses) worst = std::max(worst, loss.relative());
      if (worst > nn::Linear::most_int8_error) {
        for (const std::string& name : product.weights) report.kept.push_back({name, worst});
      } else {
        report.matrices += static_cast<int64_t>(scales.size());
        scales_.merge(scales);
      }
    }
  }

  //! Writes the weights into a folder. Calls back after each of tensors().
  void write(const fs::path& folder, QuantizeReport& report, const std::function<void()>& done) const {
    constexpr const char* base = "diffusion_pytorch_model";
    std::vector<std::vector<checkpoint::TensorInfo>> shards(1);
    uint64_t in_shard = 0, all = 0;
    for (const auto& [name, info] : tensors_) {
      report.bytes_before += info.bytes();
      std::vector<checkpoint::TensorInfo> become{info};
      if (const auto scale = scales_.find(name); scale != scales_.end()) {
        become[0].dtype = DType::i8;
        become.push_back({checkpoint::scale_name(name), DType::f32, scale->second.shape()});
      }
      uint64_t bytes = 0;
      for (const auto& each : become) bytes += each.bytes();
      if (in_shard > 0 && in_shard + bytes > options_.shard_bytes) {
        shards.emplace_back();
        in_shard = 0;
      }
      in_shard += bytes;
      all += bytes;
      shards.back().insert(shards.back().end(), become.begin(), become.end());
    }
    report.bytes_after += all;
    nlohmann::json map = nlohmann::json::object();
    for (size_t i = 0; i < shards.size(); ++i) {
      std::string file = std::string(base) + ".safetensors";
      if (shards.size() > 1) file = checkpoint::shard_name(base, i + 1, shards.size());
      for (const auto& info : shards[i]) map[info.name] = file;
      write_shard(folder / file, shards[i], done);
    }
    if (shards.size() > 1)
      checkpoint::write_text(folder / (std::string(base) + ".safetensors.index.json"),
                             nlohmann::json{{"metadata", {{"total_size", all}}}, {"weight_map", map}}.dump(2) + "\n");
  }

private:
  Tensor read(const std::string& name) const { return source_->get(name, tensors_.at(name).shape); }

  void write_shard(const fs::path& file, const std::vector<checkpoint::TensorInfo>& tensors,
                   const std::function<void()>& done) const {
    checkpoint::SafetensorsWriter writer(file, tensors, checkpoint::quantization_metadata());
    for (const auto& info : writer.order()) {
      if (options_.cancel) options_.cancel->check();
      if (!tensors_.contains(info.name)) {  // the scales of a weight
        writer.write(scales_.at(checkpoint::scaled_name(info.name)));
        continue;
      }
      const Tensor stored = read(info.name);
      if (info.dtype == DType::i8) {
        kernels::QuantizationLoss ignored;
        writer.write(kernels::quantize_rows(stored.view({stored.dim(0), -1}), ignored).bytes.view(info.shape));
      } else {
        writer.write(stored);
      }
      stored.let_go();
      done();
    }
    writer.commit();
  }

  const QuantizeOptions& options_;
  std::shared_ptr<checkpoint::TensorSource> source_;
  std::map<std::string, checkpoint::TensorInfo> tensors_;
  std::vector<checkpoint::ProductNote> products_;
  std::map<std::string, Tensor> scales_;  //!< by the names of the weights that become int8
};

void carry_others(const checkpoint::Folder& folder, const std::vector<std::string>& denoisers, const fs::path& to,
                  const QuantizeOptions& options, QuantizeReport& report) {
  const auto is_denoiser = [&](const std::string& name) {
    return std::find(denoisers.begin(), denoisers.end(), name) != denoisers.end();
  };
  const auto carry = [&](const fs::path& from, const fs::path& into, bool with_weights) {
    for (const auto& file : checkpoint::files_in(from)) {
      if (options.cancel) options.cancel->check();
      if (with_weights || !checkpoint::belongs_to_weights(file.filename().string()))
        checkpoint::carry_file(file, into / file.filename(), report.carried);
    }
  };
  carry(folder.path(), to, false);
  for (const auto& component : folder.components()) {
    const fs::path from = folder.path() / component.name;
    if (!fs::is_directory(from)) continue;
    checkpoint::make_folder(to / component.name);
    carry(from, to / component.name, !is_denoiser(component.name));
  }
}

}  // namespace

QuantizeReport quantize(const fs::path& from, const fs::path& to, const QuantizeOptions& options) {
  checkpoint::NewFolder::require_free(to);
  LoadOptions load;
  load.dtype = DType::i8;
  load.variant = options.variant;
  pipelines::load(from, load);  // says what is wrong with the folder, before anything is written
  const auto folder = checkpoint::Folder::open(from);
  const auto names = denoisers_of(folder);
  std::vector<DenoiserFiles> denoisers;
  int64_t matrices = 0, tensors = 0;
  for (const std::string& name : names) {
    denoisers.emplace_back(folder, name, options);
    matrices += denoisers.back().matrices();
    tensors += denoisers.back().tensors();
  }
  QuantizeReport report;
  const auto counting = [&](const char* stage, int64_t all) {
    const auto tell = [&options, stage, all](int64_t step) {
      if (options.progress) options.progress({stage, step, all});
    };
    tell(0);
    return [tell, step = int64_t{0}]() mutable { tell(++step); };
  };
  const std::function<void()> measured = counting("measure", matrices);
  for (DenoiserFiles& denoiser : denoisers) denoiser.measure(report, measured);
  checkpoint::NewFolder made(to);
  carry_others(folder, names, made.path(), options, report);
  const std::function<void()> written = counting("write", tensors);
  for (size_t i = 0; i < names.size(); ++i) denoisers[i].write(made.path() / names[i], report, written);
  release_cached_memory();
  made.commit();
  return report;
}

}  // namespace prax::pipelines

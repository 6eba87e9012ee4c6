#include <fmt/format.h>

#include <array>
#include <cmath>
#include <memory>

#include "base/error.h"
#include "base/paths.h"
#include "commands.h"
#include "kernels/isa.h"
#include "output.h"
#include "pipelines/compute_dtype.h"
#include "signals.h"
#include "tensor/parallel.h"
#include "verify_case.h"

namespace prax::app {

namespace {

using nlohmann::json;

struct VerifyFlags {
  std::vector<std::string> places;
  std::string dtype, model;
  std::string only, lora_mode = "automatic";
  int threads = 0;
  bool json = false;
};

struct Counts {
  std::array<int64_t, 4> of{};  //!< by Verdict

  int64_t operator[](Verdict v) const { return of[static_cast<size_t>(v)]; }
  void add(Verdict v) { ++of[static_cast<size_t>(v)]; }
  void add(const Counts& other) {
    for (size_t i = 0; i < of.size(); ++i) of[i] += other.of[i];
  }
  int64_t all() const { return of[0] + of[1] + of[2] + of[3]; }
  //! Something was compared, nothing failed, and nothing is open.
  bool good() const {
    return (*this)[Verdict::fail] == 0 && (*this)[Verdict::not_checked] == 0 &&
           (*this)[Verdict::pass] + (*this)[Verdict::info] > 0;
  }
};

std::string_view word_for(Verdict v) {
  switch (v) {
    case Verdict::pass:
      return "pass";
    case Verdict::fail:
      return "FAIL";
    case Verdict::not_checked:
      return "NOT CHECKED";
    case Verdict::info:
      return "info";
  }
  return "FAIL";
}

std::string_view key_for(Verdict v) {
  switch (v) {
    case Verdict::pass:
      return "pass";
    case Verdict::fail:
      return "fail";
    case Verdict::not_checked:
      return "not_checked";
    case Verdict::info:
      return "info";
  }
  return "fail";
}

std::string figure(double value, const char* format) {
  return std::isnan(value) ? "-" : fmt::format(fmt::runtime(format), value);
}

void print_check(const ReferenceCase& reference, const Check& c, bool as_json) {
  const Difference& d = c.difference;
  if (as_json) {
    print_json({{"type", "tensor"},
                {"case", reference.name},
                {"name", c.name},
                {"shape", c.shape},
                {"max_error", d.max_error},
                {"relative_error", d.relative},
                {"cosine", d.cosine},
                {"verdict", key_for(c.verdict)},
                {"note", c.note}});
    return;
  }
  fmt::print("  {:<42} {:<20}", c.name, c.shape.empty() ? "" : to_string(c.shape));
  if (!std::isnan(d.max_error))
    fmt::print(" max {:<9} relative {:<9} cosine {:<10}", figure(d.max_error, "{:.2e}"), figure(d.relative, "{:.2e}"),
               figure(d.cosine, "{:.7f}"));
  fmt::print(" {}{}{}\n", word_for(c.verdict), c.note.empty() ? "" : "  ", c.note);
  std::fflush(stdout);
}

std::string summary_of(const Counts& n) {
  std::string line = fmt::format("{} tensors: {} pass, {} fail, {} not checked", n.all(), n[Verdict::pass],
                                 n[Verdict::fail], n[Verdict::not_checked]);
  if (n[Verdict::info] > 0) line += fmt::format(", {} for information", n[Verdict::info]);
  return line;
}

void print_counts(const Counts& n, size_t cases, size_t good_cases, bool as_json) {
  if (as_json) {
    print_json({{"type", "summary"},
                {"cases", cases},
                {"good_cases", good_cases},
                {"tensors", n.all()},
                {"pass", n[Verdict::pass]},
                {"fail", n[Verdict::fail]},
                {"not_checked", n[Verdict::not_checked]},
                {"info", n[Verdict::info]}});
    return;
  }
  if (cases > 1) fmt::print("{} of {} cases are good; ", good_cases, cases);
  fmt::print("{}\n", summary_of(n));
}

//! What is recorded and was not reached because the run failed counts as not checked.
void count_unreached(const ReferenceCase& reference, const VerifyOptions& options, Counts& counts) {
  int64_t recorded = 0;
  for (const auto& [name, entry] : reference.tensors->entries()) recorded += options.wants(name);
  for (int64_t i = counts.all(); i < std::max<int64_t>(1, recorded); ++i) counts.add(Verdict::not_checked);
}

Counts run_case(const ReferenceCase& reference, const VerifyOptions& options, bool as_json) {
  Counts counts;
  const auto heading = [&] {
    if (as_json || counts.all() > 0) return;
    fmt::print("{} ({}, {}, {})\n", reference.name, kind_of(reference), name_of(options.dtype),
               kernels::name_of(kernels::isa()));
  };
  try {
    verify_case(reference, options, [&](const Check& c) {
      heading();
      counts.add(c.verdict);
      print_check(reference, c, as_json);
    });
  } catch (const std::exception& problem) {
    const Error error = to_error(problem);
    if (error.kind() == ErrorKind::interrupted) throw;
    std::fflush(stdout);
    print_error(Error(error.kind(), reference.name + ": " + error.what(), error.hint()), as_json);
    count_unreached(reference, options, counts);
  }
  return counts;
}

checkpoint::LoraMode lora_mode_named(const std::string& name) {
  if (name == "fused") return checkpoint::LoraMode::fused;
  if (name == "on-the-fly") return checkpoint::LoraMode::on_the_fly;
  if (name == "automatic") return checkpoint::LoraMode::automatic;
  throw Error(ErrorKind::usage, "--lora-mode is '" + name + "', which cannot be", "use automatic, fused or on-the-fly");
}

int verify(const VerifyFlags& given) {
  if (given.places.empty())
    throw Error(ErrorKind::usage, "prax verify needs a reference case",
                "give a folder with a case.json, or one that holds such folders: prax verify tests/data/cases");
  VerifyOptions options;
  if (!given.model.empty()) {
    options.model = resolve_model(given.model);
    if (given.dtype.empty()) options.dtype = pipelines::compute_dtype("", options.model);
  }
  if (!given.dtype.empty()) options.dtype = pipelines::compute_dtype(given.dtype);
  options.only = given.only;
  options.lora_mode = lora_mode_named(given.lora_mode);
  options.cancel = &signal_token();
  if (given.threads > 0) set_thread_count(given.threads);
  std::vector<ReferenceCase> cases;
  for (const auto& folder : find_cases(given.places)) cases.push_back(read_case(folder));

  Counts all;
  size_t wanted = 0, good = 0;
  for (const ReferenceCase& reference : cases) {
    options.cancel->check();
    const Counts counts = run_case(reference, options, given.json);
    if (cases.size() > 1 && counts.all() > 0 && !given.json) fmt::print("  {}\n", summary_of(counts));
    wanted += counts.all() > 0;
    good += counts.all() > 0 && counts.good();
    all.add(counts);
  }
  if (all.all() == 0)
    throw Error(ErrorKind::usage, "no recorded tensor has \"" + given.only + "\" in its name",
                "leave --only out to see the names");
  print_counts(all, wanted, good, given.json);
  return good == wanted ? exit_done : exit_failed;
}

}  // namespace

void add_verify(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<VerifyFlags>();
  CLI::App* command = app.add_subcommand("verify", "Hold this program against recorded runs of the reference");
  command->add_option("CASE", options->places, "Folders with a case.json, or folders that hold such folders");
  command->add_option("--dtype", options->dtype,
                      "Arithmetic: f32 (exact), bf16 or int8 (default: f32; with --model what that is stored for)");
  command->add_option("--model", options->model, "A model folder to run instead of the cases' own");
  command->add_option("--only", options->only, "Only tensors with this text in their names");
  command->add_option("--lora-mode", options->lora_mode, "How LoRA files are applied: automatic, fused, on-the-fly")
      ->capture_default_str();
  command->add_option("--threads", options->threads, "Threads to use")->check(CLI::Range(1, 1024));
  command->add_flag("--json", options->json, "One JSON object a line");
  command->callback([options, &exit_code] { exit_code = verify(*options); });
}

}  // namespace prax::app

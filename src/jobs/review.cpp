#include "jobs/review.h"

#include <sys/wait.h>

#include "base/child.h"
#include "base/error.h"
#include "base/human.h"

namespace prax::jobs {

namespace {

constexpr size_t longest_reason = 500;

Error failed(const std::string& what) {
  return {ErrorKind::internal, "the review program " + what, "tell the operator; the job is tried again later"};
}

std::string first_line(const std::string& output) {
  std::string line = output.substr(0, output.find('\n'));
  if (line.size() > longest_reason) line.resize(longest_reason);
  if (const size_t bad = invalid_utf8_offset(line); bad != std::string::npos) line.resize(bad);
  if (const size_t zero = line.find('\0'); zero != std::string::npos) line.resize(zero);
  return line;
}

}  // namespace

ReviewDecision review(const std::vector<std::string>& program, const Job& job, const std::filesystem::path& video,
                      std::chrono::seconds timeout, const CancelToken& cancel) {
  const nlohmann::json about = {{"id", job.id},
                                {"key_id", job.key_id},
                                {"model", job.model},
                                {"prompt", job.prompt},
                                {"kind", name_of(job.kind)},
                                {"settings", to_json(job.settings)},
                                {"metadata", job.metadata}};
  ChildCall call;
  call.words = program;
  call.words.push_back(video.string());
  call.input = about.dump() + "\n";
  call.environment = {"PRAX_JOB_ID=" + job.id};
  call.timeout = timeout;
  const ChildEnd end = run_child(call, cancel);
  if (!end.problem.empty()) throw failed(end.problem);
  if (!WIFEXITED(end.status)) throw failed("was ended by signal " + std::to_string(WTERMSIG(end.status)));
  const int code = WEXITSTATUS(end.status);
  if (code > 1) throw failed("ended with status " + std::to_string(code) + ", which is neither 0 nor 1");
  return {code == 0, first_line(end.output)};
}

}  // namespace prax::jobs

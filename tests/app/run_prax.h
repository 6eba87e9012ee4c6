#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

// Runs the real program.
namespace {

//! A folder that is gone with the test.
class ScratchFolder {
public:
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "prax-app-test-XXXXXX").string();
    if (!::mkdtemp(name.data())) std::abort();
    path_ = name;
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

private:
  std::filesystem::path path_;
};

inline std::string file_text(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Finished {
  int code = -1;
  std::string out, err;

  bool says(const std::string& text) const { return out.find(text) != std::string::npos; }
  bool complains(const std::string& text) const { return err.find(text) != std::string::npos; }
  //! stdout as JSON lines; a test fails where one is none.
  std::vector<nlohmann::json> lines() const {
    std::vector<nlohmann::json> parsed;
    std::istringstream stream(out);
    for (std::string line; std::getline(stream, line);) {
      parsed.push_back(nlohmann::json::parse(line, nullptr, false));
      EXPECT_FALSE(parsed.back().is_discarded()) << line;
    }
    return parsed;
  }
};

//! `arguments` as a shell takes them.
inline Finished run_prax(const std::string& arguments) {
  const ScratchFolder scratch;
  const std::string out = (scratch.path() / "out").string(), err = (scratch.path() / "err").string();
  const std::string command = std::string(PRAX_BINARY) + " " + arguments + " >" + out + " 2>" + err + " </dev/null";
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, file_text(out), file_text(err)};
}

const std::filesystem::path reference_cases = std::filesystem::path(PRAX_TEST_DATA) / "cases";

//! Arguments for a quick clip: two steps of the embedded model.
inline std::string quick(const std::filesystem::path& out, const std::string& more = "") {
  return "generate 'a red balloon rises over the sea' --seed 7 --steps 2 -o " + out.string() + " " + more;
}

}  // namespace

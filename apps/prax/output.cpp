#include "output.h"

#include <cstdio>

namespace prax::app {

int exit_code_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage:
      return exit_usage;
    case ErrorKind::interrupted:
      return exit_interrupted;
    default:
      return exit_failed;
  }
}

void print_json(const nlohmann::json& value) {
  const std::string line = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fflush(stdout);
}

void print_error(const Error& error, bool json) {
  if (json) {
    print_json({{"type", "error"},
                {"kind", name_of(error.kind())},
                {"message", error.what()},
                {"hint", error.hint()},
                {"exit_code", exit_code_of(error.kind())}});
  }
  std::fprintf(stderr, "prax: %s\n", error.what());
  if (!error.hint().empty()) std::fprintf(stderr, "      %s\n", error.hint().c_str());
}

std::string shell_word(const std::string& word) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+:@%,=";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string quoted = "'";
  for (char c : word) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

}  // namespace prax::app

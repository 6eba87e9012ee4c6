#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/suggest.h"
#include "commands.h"
#include "output.h"
#include "signals.h"

namespace prax::app {
namespace {

constexpr const char* about =
    "Praxinoscope: open video models on your own machine.\n\n"
    "  prax generate \"a red balloon rises over the sea at sunset\" -o balloon.mp4\n";

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

//! What CLI11 found wrong, as one of our errors: with the nearest flag for one that does not exist.
Error usage_error(const CLI::App& app, const CLI::ParseError& problem) {
  const auto parsed = app.get_subcommands();
  const CLI::App& command = parsed.empty() ? app : *parsed.front();
  const std::string help = "prax " + (parsed.empty() ? std::string("--help") : "help " + command.get_name());
  if (dynamic_cast<const CLI::ExtrasError*>(&problem)) {
    const auto extras = app.remaining(true);
    const std::string extra = extras.empty() ? "" : extras.front();
    const std::string near = nearest_word(extra.substr(0, extra.find('=')), option_names(command));
    const std::string hint = near.empty() ? "see `" + help + "`" : "did you mean " + near + "?";
    const char* what = extra.starts_with('-') ? " is not an option of prax " : " is one argument too many for prax ";
    return {ErrorKind::usage, extra + what + command.get_name(), hint};
  }
  return {ErrorKind::usage, problem.what(), "see `" + help + "`"};
}

//! A first word that is no command.
void require_command(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return;
  const auto names = command_names(app);
  if (std::find(names.begin(), names.end(), argv[1]) != names.end()) return;
  const std::string near = nearest_word(argv[1], names);
  throw Error(ErrorKind::usage, "\"" + std::string(argv[1]) + "\" is not a command of prax",
              near.empty() ? "see `prax --help`" : "did you mean `prax " + near + "`?");
}

void add_help(CLI::App& app, std::string& wanted) {
  auto* command = app.add_subcommand("help", "The flags of one command");
  command->add_option("COMMAND", wanted, "Which one");
  command->callback([&app, &wanted] {
    if (wanted.empty()) throw CLI::CallForHelp();
    const auto names = command_names(app);
    if (std::find(names.begin(), names.end(), wanted) == names.end()) {
      const std::string near = nearest_word(wanted, names);
      throw Error(ErrorKind::usage, "\"" + wanted + "\" is not a command of prax",
                  near.empty() ? "see `prax --help`" : "did you mean " + near + "?");
    }
    std::fputs(app.get_subcommand(wanted)->help("prax").c_str(), stdout);
  });
}

int run(int argc, char** argv) {
  const bool json = std::any_of(argv + 1, argv + argc, [](const char* a) { return std::strcmp(a, "--json") == 0; });
  int exit_code = exit_done;
  std::string wanted;
  CLI::App app(about, "prax");
  app.set_version_flag("--version", "prax " PRAX_VERSION);
  app.require_subcommand(1);
  add_generate(app, exit_code);
  add_decode(app, exit_code);
  add_info(app, exit_code);
  add_models(app, exit_code);
  add_verify(app, exit_code);
  add_bench(app, exit_code);
  add_help(app, wanted);
  try {
    require_command(app, argc, argv);
    app.parse(argc, argv);
    return exit_code;
  } catch (const CLI::Success& asked) {  // --help, --version
    const auto parsed = app.get_subcommands();
    if (dynamic_cast<const CLI::CallForHelp*>(&asked) && !parsed.empty() && parsed.front()->get_name() != "help") {
      std::fputs(parsed.front()->help("prax").c_str(), stdout);
      return exit_done;
    }
    return app.exit(asked);
  } catch (const CLI::ParseError& problem) {
    print_error(usage_error(app, problem), json);
    return exit_usage;
  } catch (const std::exception& problem) {
    const Error error = to_error(problem);
    print_error(error, json);
    return exit_code_of(error.kind());
  }
}

}  // namespace
}  // namespace prax::app

int main(int argc, char** argv) {
  prax::app::handle_signals();
  return prax::app::run(argc, argv);
}

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/suggest.h"
#include "base/version.h"
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

//! The command that was named last: "create" of `prax keys create`.
const CLI::App& innermost(const CLI::App& app) {
  const auto parsed = app.get_subcommands();
  return parsed.empty() ? app : innermost(*parsed.front());
}

//! "prax keys create"
std::string full_name(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent ? full_name(*parent) + " " + command.get_name() : "prax";
}

//! What CLI11 found wrong, as one of our errors: with the nearest flag for one that does not exist.
Error usage_error(const CLI::App& app, const CLI::ParseError& problem) {
  const CLI::App& command = innermost(app);
  const std::string help = &command == &app               ? "prax --help"
                           : command.get_parent() == &app ? "prax help " + command.get_name()
                                                          : full_name(command) + " --help";
  if (dynamic_cast<const CLI::ExtrasError*>(&problem)) {
    const auto extras = app.remaining(true);
    // "--stesp 3" leaves both words over; the flag is what is wrong.
    const auto flag = std::find_if(extras.begin(), extras.end(), [](const auto& e) { return e.starts_with('-'); });
    const std::string extra = flag != extras.end() ? *flag : extras.empty() ? "" : extras.front();
    const std::string near = nearest_word(extra.substr(0, extra.find('=')), option_names(command));
    std::string hint = near.empty() ? "see `" + help + "`" : "did you mean " + near + "?";
    if (near.empty() && command.get_name() == "generate" && !extra.starts_with('-'))
      hint = "put the whole prompt in quotes; --set is repeated for each value";
    const char* what = extra.starts_with('-') ? " is not an option of " : " is one argument too many for ";
    return {ErrorKind::usage, extra + what + full_name(command), hint};
  }
  std::string message = problem.what();
  constexpr std::string_view unreadable = "Could not convert: ";
  if (message.starts_with(unreadable)) {  // "Could not convert: --steps = abc"
    message.erase(0, unreadable.size());
    if (const size_t at = message.find(" = "); at != std::string::npos)
      message = message.substr(0, at) + " cannot be '" + message.substr(at + 3) + "'";
  } else if (dynamic_cast<const CLI::ArgumentMismatch*>(&problem)) {     // "--steps: 1 required N missing"
    const bool several = message.find("received") != std::string::npos;  // "--steps: At Most 1 required but received 2"
    message = message.substr(0, message.find(':')) + (several ? " was given twice" : " needs a value");
  }
  return {ErrorKind::usage, message, "see `" + help + "`"};
}

[[noreturn]] void usage_without_command(const std::string& flag) {
  throw Error(ErrorKind::usage, flag + " was given without a command", "name the command first: prax generate ...");
}

//! A first word that is neither a command nor a flag of the program itself.
void require_command(const CLI::App& app, int argc, char** argv) {
  if (argc < 2) return;
  const bool is_flag = argv[1][0] == '-';
  const auto names = is_flag ? option_names(app) : command_names(app);
  if (std::find(names.begin(), names.end(), argv[1]) != names.end()) return;
  const std::string near = nearest_word(argv[1], names);
  if (is_flag && near.empty()) return usage_without_command(argv[1]);
  throw Error(ErrorKind::usage,
              "\"" + std::string(argv[1]) + "\" is not " + (is_flag ? "an option" : "a command") + " of prax",
              near.empty() ? "see `prax --help`" : "did you mean `prax " + near + "`?");
}

std::string help_of(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return command.help(parent ? full_name(*parent) : "");
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
    std::fputs(help_of(*app.get_subcommand(wanted)).c_str(), stdout);
  });
}

int run(int argc, char** argv) {
  const bool json = std::any_of(argv + 1, argv + argc, [](const char* a) { return std::strcmp(a, "--json") == 0; });
  int exit_code = exit_done;
  std::string wanted;
  CLI::App app(about, "prax");
  app.set_version_flag("--version", std::string("prax ") + version());
  app.require_subcommand(1);
  add_generate(app, exit_code);
  add_decode(app, exit_code);
  add_info(app, exit_code);
  add_models(app, exit_code);
  add_verify(app, exit_code);
  add_bench(app, exit_code);
  add_quantize(app, exit_code);
  add_serve(app, exit_code);
  add_worker(app, exit_code);
  add_keys(app, exit_code);
  add_audit(app, exit_code);
  add_inspect(app);
  add_help(app, wanted);
  if (argc < 2) {
    std::fputs(app.help().c_str(), stderr);
    return exit_usage;
  }
  try {
    require_command(app, argc, argv);
    app.parse(argc, argv);
    return exit_code;
  } catch (const CLI::Success& asked) {  // --help, --version
    const auto parsed = app.get_subcommands();
    if (dynamic_cast<const CLI::CallForHelp*>(&asked) && !parsed.empty() && parsed.front()->get_name() != "help") {
      std::fputs(help_of(innermost(app)).c_str(), stdout);
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

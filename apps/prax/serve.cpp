#include <malloc.h>

#include <cstdio>
#include <memory>

#include "base/paths.h"
#include "commands.h"
#include "output.h"
#include "server/application.h"
#include "settings_flags.h"
#include "signals.h"

namespace prax::app {

void add_serve(CLI::App& app, int&) {
  auto* command = app.add_subcommand("serve", "Answer the Videos API");
  command->footer(
      "Example: prax keys create me --data ./data; prax serve --data ./data\n"
      "Each setting is also an environment variable (PRAX_PORT) and a key of the TOML file (port).");
  auto flags = std::make_shared<SettingsFlags>(*command, server::SettingUser::server);
  command->callback([flags] {
    // Few arenas: many threads that allocate little by little must not each keep megabytes.
    constexpr int arenas = 2;
    mallopt(M_ARENA_MAX, arenas);
    reload_on_hangup();
    const server::Settings settings = flags->load();
    server::Application application(settings, program_path());
    std::printf("listening on %s\n", application.url().c_str());
    if (const std::string studio = application.studio_url(); !studio.empty())
      std::printf("studio: %s\n", studio.c_str());
    std::fflush(stdout);
    application.run(signal_token(), {take_reload_request, [flags] { return flags->load(); }});
  });
}

}  // namespace prax::app

#include "server/worker_processes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

namespace prax::server {
namespace {

bool holds(const std::vector<std::string>& texts, const std::string& text) {
  return std::find(texts.begin(), texts.end(), text) != texts.end();
}

bool mentions(const std::vector<std::string>& texts, const std::string& part) {
  return std::any_of(texts.begin(), texts.end(), [&](const auto& t) { return t.find(part) != std::string::npos; });
}

TEST(WorkerCommand, TellsPasswordsInTheEnvironmentAlone) {
  Settings settings;
  settings.data = "/data";
  settings.database = "postgresql://prax:secret@db/prax";
  settings.storage = "s3://videos?endpoint=https://s3.example";
  const WorkerCommand command = worker_command("/bin/prax", settings);
  EXPECT_FALSE(mentions(command.words, "secret"));
  EXPECT_FALSE(mentions(command.words, "s3://"));
  EXPECT_TRUE(holds(command.environment, "PRAX_DATABASE=" + settings.database));
  EXPECT_TRUE(holds(command.environment, "PRAX_STORAGE=" + settings.storage));
}

TEST(WorkerCommand, IsWhatTheServerWasToldAndNothingElse) {
  ::setenv("PRAX_RETENTION", "30d", 1);
  ::setenv("PRAX_CONFIG", "/etc/prax.toml", 1);
  ::setenv("PRAX_ISA", "avx2", 1);
  Settings settings;  // a flag had said --retention forever
  settings.data = "/data";
  const WorkerCommand command = worker_command("/bin/prax", settings);
  ::unsetenv("PRAX_RETENTION");
  ::unsetenv("PRAX_CONFIG");
  ::unsetenv("PRAX_ISA");
  EXPECT_FALSE(mentions(command.environment, "PRAX_RETENTION"));
  EXPECT_FALSE(mentions(command.environment, "/etc/prax.toml"));
  EXPECT_TRUE(holds(command.environment, "PRAX_CONFIG=/dev/null"));
  EXPECT_TRUE(holds(command.environment, "PRAX_ISA=avx2")) << "what is no setting stays";
  EXPECT_TRUE(holds(command.words, "forever"));
}

//! What the command says is what a worker makes of it.
TEST(WorkerCommand, IsReadBackAsTheSameSettings) {
  Settings settings;
  settings.data = "/data";
  settings.database = "postgresql://db/prax";
  settings.storage = "/shared";
  settings.models = {{"ltx", "/models/ltx"}, {"mochi", "/models/mo,chi"}};
  settings.aliases = {{"sora-2", "ltx"}};
  settings.loras = {{"ink", "/loras/ink.safetensors"}};
  settings.upscaler = "/models/up";
  settings.dtype = "int8";
  settings.worker_threads = 3;
  settings.quality = 20;
  settings.lease = std::chrono::milliseconds(4500);
  settings.retry_after = std::chrono::milliseconds(1000);
  settings.retention = std::chrono::hours(36);
  settings.max_attempts = 7;
  settings.review_program = "/bin/review";
  const WorkerCommand command = worker_command("/bin/prax", settings);
  SettingWords flags;
  for (size_t i = 2; i + 1 < command.words.size(); i += 2)
    flags[command.words[i].substr(2)].push_back(command.words[i + 1]);
  for (const auto& [name, words] : flags) {
    const auto& table = settings_table();
    const auto setting = std::find_if(table.begin(), table.end(), [&](const Setting& s) { return s.name == name; });
    ASSERT_NE(setting, table.end()) << name;
    EXPECT_NE(setting->user, SettingUser::server) << "`prax worker` has no --" << name;
  }
  const auto variable = [&](const char* name) -> const char* {
    for (const std::string& entry : command.environment)
      if (entry.starts_with(std::string(name) + "=")) return entry.c_str() + std::string(name).size() + 1;
    return nullptr;
  };
  EXPECT_EQ(load_settings(flags, "", variable), settings);
}

}  // namespace
}  // namespace prax::server

#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>

#include "base/error.h"
#include "pipelines/pipeline.h"

namespace prax::test {

//! A run of the request that was saved and stopped after a step, as its file gives it back. `go` takes the steps:
//! denoise() when absent.
inline pipelines::Run stopped_run(pipelines::Pipeline& pipeline, const pipelines::Request& request, int64_t stop,
                                  const std::function<void(pipelines::Run&, const pipelines::Monitor&)>& go = {}) {
  const auto file = std::filesystem::temp_directory_path() / ("prax_stopped_" + std::to_string(::getpid()) + ".prax");
  pipelines::Run run = pipeline.begin(request);
  CancelToken cancel;
  pipelines::Monitor monitor;
  monitor.cancel = &cancel;
  monitor.after_step = [&](const pipelines::Run& state) {
    if (state.step != stop) return;
    pipelines::save_run(file, state, "model");
    cancel.cancel();
  };
  const auto take = [&] { go ? go(run, monitor) : pipeline.denoise(run, monitor); };
  EXPECT_THROW(take(), Error);
  pipelines::Run saved = pipelines::load_run(file);
  std::filesystem::remove(file);
  EXPECT_EQ(saved.step, stop);
  return saved;
}

}  // namespace prax::test

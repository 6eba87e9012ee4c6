#include "server/reservations.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace prax::server {
namespace {

class Reserved : public ::testing::Test {
protected:
  Reserved()
      : file_(std::filesystem::path(::testing::TempDir()) / ("reservations-" + std::to_string(::getpid()) + ".db")) {
    std::filesystem::remove(file_);
    store_ = jobs::open_store(file_.string());
  }
  ~Reserved() override {
    store_.reset();
    for (const char* ending : {"", "-wal", "-shm"}) std::filesystem::remove(file_.string() + ending);
  }

  std::filesystem::path file_;
  std::unique_ptr<jobs::Store> store_;
};

TEST_F(Reserved, RoomIsPromisedOnce) {
  Reservations reservations(*store_, 100);
  http::Request one, other;
  reservations.reserve(one, 60);
  reservations.reserve(one, 10);  // it has them
  EXPECT_THROW(reservations.reserve(other, 41), http::HttpError);
  reservations.reserve(other, 30);
  reservations.reserve(other, 40);
  EXPECT_THROW(reservations.reserve(one, 61), http::HttpError);
  one.room.reset();
  reservations.reserve(other, 100);
  EXPECT_THROW(reservations.reserve(one, 1), http::HttpError);
}

TEST_F(Reserved, WhatIsStoredIsTaken) {
  jobs::NewJob job;
  job.id = jobs::new_job_id();
  job.key_id = jobs::local_key_id;
  job.inputs = {{"video", "inputs/" + job.id + "/video.mp4", "video/mp4", 70, "ab"}};
  store_->create_job(job, {});
  Reservations reservations(*store_, 100);
  http::Request request;
  EXPECT_THROW(reservations.reserve(request, 31), http::HttpError);
  reservations.reserve(request, 30);
}

TEST_F(Reserved, WithoutAQuotaThereIsRoomForAll) {
  Reservations reservations(*store_, {});
  http::Request request;
  reservations.reserve(request, UINT64_MAX);
  EXPECT_FALSE(request.room);
}

}  // namespace
}  // namespace prax::server

#include "jobs/database.h"

#include <charconv>
#include <chrono>
#include <thread>

#include "base/error.h"
#include "base/human.h"

namespace prax::jobs {

namespace {

template <typename T>
T number_in(const std::string& text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || at != end)
    throw DatabaseProblem(DatabaseProblem::Kind::foreign, "'" + text + "' stands where a number belongs");
  return value;
}

Error lasting(const std::string& name, const DatabaseProblem& problem) {
  const std::string text = name + ": " + problem.what();
  switch (problem.kind()) {
    case DatabaseProblem::Kind::full:
      return {ErrorKind::disk_full, "the database's disk is full (" + text + ")", "make room on it, then try again"};
    case DatabaseProblem::Kind::foreign:
      return {ErrorKind::input, text, "give another place, or restore the database from a copy"};
    case DatabaseProblem::Kind::transient:
      return {ErrorKind::io, "the database cannot be reached (" + text + ")",
              "check that it runs and that its address and password are right"};
    case DatabaseProblem::Kind::other:
      break;
  }
  return {ErrorKind::io, "the database refused (" + text + ")", "see its log"};
}

}  // namespace

void require_text(const std::string& text, const char* what) {
  if (invalid_utf8_offset(text) != std::string::npos || text.find('\0') != std::string::npos)
    throw Error(ErrorKind::input, std::string(what) + " holds bytes that are no text",
                "send it as UTF-8 without zero bytes");
}

std::optional<std::string>& Row::next() {
  if (at_ >= cells_.size()) throw DatabaseProblem(DatabaseProblem::Kind::foreign, "a row is too short");
  return cells_[at_++];
}

std::string Row::text() {
  auto& cell = next();
  return cell ? std::move(*cell) : std::string();
}

int64_t Row::integer() {
  const auto& cell = next();
  return cell ? number_in<int64_t>(*cell) : 0;
}

double Row::real() {
  const auto& cell = next();
  return cell ? number_in<double>(*cell) : 0;
}

std::optional<int64_t> Row::maybe_integer() {
  const auto& cell = next();
  if (!cell) return std::nullopt;
  return number_in<int64_t>(*cell);
}

std::optional<double> Row::maybe_real() {
  const auto& cell = next();
  if (!cell) return std::nullopt;
  return number_in<double>(*cell);
}

std::optional<std::string> Row::maybe_text() { return std::move(next()); }

std::optional<Time> Row::maybe_time() {
  const auto value = maybe_integer();
  if (!value) return std::nullopt;
  return Time(Milliseconds(*value));
}

Database::Database(std::string kind, std::string name, Open open, const StoreOptions& options)
    : kind_(std::move(kind)), name_(std::move(name)), open_(std::move(open)), options_(options) {}

std::unique_ptr<Connection> Database::take() {
  std::unique_lock lock(mutex_);
  free_.wait(lock, [&] { return !idle_.empty() || open_count_ < std::max(1, options_.connections); });
  if (!idle_.empty()) {
    auto connection = std::move(idle_.back());
    idle_.pop_back();
    return connection;
  }
  ++open_count_;
  lock.unlock();
  try {
    return open_();
  } catch (...) {
    forget_one();
    throw;
  }
}

void Database::give_back(std::unique_ptr<Connection> connection) {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(connection));
  free_.notify_one();
}

void Database::forget_one() {
  const std::lock_guard lock(mutex_);
  --open_count_;
  free_.notify_one();
}

void Database::attempt(bool writes, const std::function<void(Connection&)>& work) {
  using Clock = std::chrono::steady_clock;
  constexpr Milliseconds first_pause(20), longest_pause(500);
  const auto until = Clock::now() + options_.patience;
  for (Milliseconds pause = first_pause;; pause = std::min(2 * pause, longest_pause)) {
    std::unique_ptr<Connection> connection;
    try {
      // Writers of this process queue here, and not in the database's lock with its pauses.
      std::unique_lock<std::mutex> turn(writing_, std::defer_lock);
      if (writes) turn.lock();
      connection = take();
      connection->begin(writes);
      work(*connection);
      connection->commit();
      give_back(std::move(connection));
      return;
    } catch (const DatabaseProblem& problem) {
      if (connection) {
        connection->rollback();
        // After a problem the connection may be dead; idle ones may be too, and are dropped as they are found so.
        connection.reset();
        forget_one();
      }
      if (problem.kind() != DatabaseProblem::Kind::transient || Clock::now() + pause > until)
        throw lasting(name_, problem);
    } catch (...) {
      if (connection) {
        connection->rollback();
        give_back(std::move(connection));
      }
      throw;
    }
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace prax::jobs

#include "operator/local/state_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "operator/api/training_job_json.h"
#include "operator/local/durable.h"
#include "operator/runtime/entropy.h"

namespace muster::local {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return base::NotFound("cannot read " + path);
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

absl::StatusOr<UniqueFd> TakeLock(const std::string& directory) {
  const std::string path = directory + "/lock";
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!fd) {
    return base::FailedPrecondition("cannot write in the state directory " + directory + ": " +
                                    base::ErrnoText(errno));
  }
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    std::array<char, 32> text{};
    const ssize_t n = pread(fd.get(), text.data(), text.size() - 1, 0);
    const std::string pid(text.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
    return base::FailedPrecondition(
        "the state directory " + directory + " is in use by a live run (pid " +
        pid.substr(0, pid.find('\n')) + "); wait for it, end it, or give another --state-dir");
  }
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(fd.get(), 0) != 0 ||
      pwrite(fd.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return base::Unavailable("cannot write " + path + ": " + base::ErrnoText(errno));
  }
  return fd;
}

// "training.seed is 1 there and 2 here", for every leaf that differs.
void NameDifferences(const json& there, const json& here, const std::string& path,
                     std::string& text) {
  if (there == here) return;
  if (there.is_object() && here.is_object()) {
    json keys = there;
    keys.update(here);
    for (const auto& [key, unused] : keys.items()) {
      NameDifferences(there.value(key, json()), here.value(key, json()),
                      path.empty() ? key : path + "." + key, text);
    }
    return;
  }
  text += (text.empty() ? "" : ", ") + path + " is " + there.dump() + " there and " + here.dump() +
          " here";
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateDir>> StateDir::Open(const std::string& path,
                                                         const api::TrainingJob& job) {
  std::error_code error;
  const std::string absolute = fs::absolute(path, error).lexically_normal().string();
  for (const char* part : {"", "/record", "/logs"}) {
    fs::create_directories(absolute + part, error);
    if (error) {
      return base::FailedPrecondition("cannot make the state directory " + absolute + part + ": " +
                                      error.message());
    }
  }
  MUSTER_ASSIGN_OR_RETURN(UniqueFd lock, TakeLock(absolute));
  std::unique_ptr<StateDir> dir(new StateDir(absolute, std::move(lock)));
  MUSTER_RETURN_IF_ERROR(dir->Recognise(job));
  return dir;
}

StateDir::~StateDir() = default;

absl::Status StateDir::Recognise(const api::TrainingJob& job) {
  const std::string path = path_ + "/job.json";
  const json here = json::parse(FrozenSpec(job.spec));
  auto text = ReadFile(path);
  if (!text.ok()) {
    // A record without its job could be anybody's.
    std::error_code error;
    if (!fs::is_empty(path_ + "/record", error)) {
      return base::FailedPrecondition("the state directory " + path_ +
                                      " holds a record but no job.json: it cannot be resumed");
    }
    uid_ = runtime::RandomToken(16);
    return ReplaceFile(path,
                       json{{"name", job.name}, {"uid", uid_}, {"frozen", here}}.dump(2) + "\n");
  }
  const json there = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!there.is_object() || !there.value("uid", json()).is_string()) {
    return base::FailedPrecondition(path + " is damaged: the state directory cannot be resumed");
  }
  uid_ = there["uid"].get<std::string>();
  std::string differences;
  NameDifferences(there.value("name", json()), json(job.name), "metadata.name", differences);
  NameDifferences(there.value("frozen", json()), here, "spec", differences);
  if (differences.empty()) return absl::OkStatus();
  return base::FailedPrecondition("the state directory " + path_ + " is of another job: " +
                                  differences + "; give another --state-dir or undo the change");
}

std::string StateDir::ReadStatus() const { return ReadFile(path_ + "/status.json").value_or(""); }

absl::Status StateDir::WriteStatus(std::string_view json) const {
  return ReplaceFile(path_ + "/status.json", json);
}

std::string FrozenSpec(const api::TrainingJobSpec& spec) {
  api::TrainingJobSpec frozen;
  frozen.program = spec.program;
  frozen.training = spec.training;
  frozen.data = spec.data;
  return api::SpecToJson(frozen);
}

std::string CheckpointDir(const std::string& state_dir, const std::string& checkpoint_path,
                          bool state_dir_wins) {
  const fs::path path(checkpoint_path);
  if (checkpoint_path.empty()) return state_dir + "/checkpoints";
  if (path.is_absolute() && !state_dir_wins) return path.lexically_normal().string();
  return (fs::path(state_dir) / path.relative_path()).lexically_normal().string();
}

}  // namespace muster::local

// The directory that outlives a run: who owns it, which job it is of, and where everything lies in
// it.
//
//   lock            the pid of the live run; held by flock(2), so a dead run holds nothing
//   job.json        uid and frozen part of the spec: a job resumes only as itself
//   status.json     the status as it was written last
//   record/         the record, one file per version (operator/app/record_store.h)
//   checkpoints/    unless the job names another folder
//   logs/           one file per process
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "operator/api/training_job.h"
#include "operator/base/status.h"
#include "operator/local/unique_fd.h"

namespace muster::local {

class StateDir final {
 public:
  // FailedPrecondition: a live run holds it (names its pid), or it is another job's (names what
  // differs).
  static absl::StatusOr<std::unique_ptr<StateDir>> Open(const std::string& path,
                                                        const api::TrainingJob& job);
  ~StateDir();
  StateDir(const StateDir&) = delete;
  StateDir& operator=(const StateDir&) = delete;

  const std::string& path() const { return path_; }
  const std::string& uid() const { return uid_; }
  std::string record_dir() const { return path_ + "/record"; }
  std::string logs_dir() const { return path_ + "/logs"; }
  // The status of an earlier run of this job as JSON; empty when there is none.
  std::string ReadStatus() const;
  // Whole or not at all; a crash leaves the one before.
  absl::Status WriteStatus(std::string_view json) const;

 private:
  StateDir(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  absl::Status Recognise(const api::TrainingJob& job);

  std::string path_;
  UniqueFd lock_;
  std::string uid_;
};

// What decides the result, and so may not change once a job has started: program, training and
// data, as a spec in JSON whose other fields are defaults.
std::string FrozenSpec(const api::TrainingJobSpec& spec);

// Where `checkpoint.path` leads: empty, relative and (when the state directory wins) absolute paths
// lie inside the state directory.
std::string CheckpointDir(const std::string& state_dir, const std::string& checkpoint_path,
                          bool state_dir_wins);

}  // namespace muster::local

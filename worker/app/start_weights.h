// The weights that a fresh state begins with: those of the file that spec.program.weights names, or
// random ones by the seed.
//
// A file is one more thing that all who make the state must have alike. Its identity is the SHA-256
// of the floats read from it. While the record has none, every member reads the file before it is
// warm and tells what it found, and whoever found another one than the first is refused. Once the
// record has it, a member reads the file only when it has to make the state again, and compares
// then: who receives the state from others, or restores it, needs no file. Training lane.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "operator/api/messages.h"
#include "operator/api/training_job.h"
#include "worker/train/trainer.h"

namespace muster::app {

// Why a job could not be opened, or its state not be made: what the process exits with, and a
// sentence.
struct OpenFailure {
  api::ExitCode code = api::ExitCode::kInternal;
  std::string reason;  // CamelCase
  std::string message;
};

class StartWeights {
 public:
  StartWeights() = default;
  // `agreed`: the identity that the job has begun with, from its record; empty: not known yet.
  StartWeights(const api::ProgramSpec& program, std::string agreed)
      : program_(program), identity_(std::move(agreed)) {}

  // Before Warm: reads the file into the trainer's state, unless there is none or the record has
  // its identity. False with `failure` filled.
  bool Agree(train::Trainer& trainer, std::atomic<std::uint64_t>* progress, OpenFailure& failure);
  // What Warm says: the identity of what Agree has read, empty when it has read nothing.
  const std::string& told() const { return told_; }

  // The initial state; its digest, or nothing with `failure` filled: the file cannot be read, or is
  // not what the job has begun with.
  std::optional<std::uint64_t> MakeFresh(train::Trainer& trainer,
                                         std::atomic<std::uint64_t>* progress,
                                         OpenFailure& failure);
  // Something else is written into the trainer's weights.
  void Overwritten() { in_place_ = false; }

 private:
  bool Read(train::Trainer& trainer, std::atomic<std::uint64_t>* progress, OpenFailure& failure);

  api::ProgramSpec program_;
  std::string identity_;  // empty: without a file, or not known
  std::string told_;
  bool in_place_ = false;  // the trainer's weights are those of the file
};

}  // namespace muster::app

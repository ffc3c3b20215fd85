// Commands that the disk lane obeys: checkpoints from a copy (M14), steps.jsonl.
#include <memory>
#include <thread>

#include "worker/app/worker.h"
#include "worker/checkpoint/publish.h"
#include "worker/checkpoint/writer.h"

namespace muster::app {
namespace {

// Headers kept for manifests that may still be ordered: of the checkpoint under way, and a few that
// were abandoned before it.
constexpr std::size_t kCopiedStates = 8;

// This member's slice of the state as it was at the step boundary: training goes on over the original,
// on a device also before the slice has left it.
struct StateCopy {
  std::unique_ptr<train::StateSlice> slice;
  checkpoint::PartContent part;

  const checkpoint::PartContent& Await() {
    const auto vectors = slice->Await();
    part.weights = vectors[0];
    part.adam_m = vectors[1];
    part.adam_v = vectors[2];
    return part;
  }
};

}  // namespace

void Worker::On(const session::CopyForCheckpoint& c) {
  training_.Post([this, c] {
    const auto& trainer = *job_->trainer;
    auto copy = std::make_shared<StateCopy>();
    const auto slice = checkpoint::PartSlice(trainer.layout().parameters, c.rank, c.size);
    copy->slice = trainer.engine().CopySlice(slice.begin, slice.end);
    copy->part = {c.step, c.epoch, c.rank, c.size, trainer.layout().parameters, {}, {}, {}};
    {
      std::lock_guard lock(checkpoint_mutex_);
      copied_states_[c.step] = {trainer.header(), c.digest};
      // Only who writes the manifest takes its entry out again.
      while (copied_states_.size() > kCopiedStates) copied_states_.erase(copied_states_.begin());
    }
    Push(session::StateCopied{c.step});
    disk_.Post([this, c, copy] {
      breakpoints_.At("checkpoint", c.step);
      api::CheckpointPart part;
      part.epoch = c.epoch;
      part.step = c.step;
      part.state_digest = c.digest;
      if (hooks_.slow_disk.count() > 0) std::this_thread::sleep_for(hooks_.slow_disk);
      const base::Time start = Now();
      auto json = checkpoint::WritePart(job_->welcome.checkpoint_path, copy->Await());
      metrics_.Phase("checkpoint", base::ToSeconds(Now() - start));
      if (json.ok()) {
        part.part_json = *json;
        log_.Debug("checkpoint", "part written", {{"step", c.step}});
      } else {
        part.error = base::Message(json.status());
        log_.Error("checkpoint", part.error, {{"step", c.step}});
      }
      Push(session::PartWritten{c.step, std::move(part)});
    });
  });
}

absl::StatusOr<checkpoint::ManifestResult> Worker::WriteManifest(const session::WriteManifest& c) {
  CopiedState state;
  {
    std::lock_guard lock(checkpoint_mutex_);
    const auto found = copied_states_.find(c.order.step);
    if (found == copied_states_.end()) {
      return base::FailedPrecondition("step " + std::to_string(c.order.step.value) +
                                      " was not copied by this member");
    }
    state = found->second;
    copied_states_.erase(copied_states_.begin(), std::next(found));
  }
  checkpoint::ManifestHeader header;
  header.step = c.order.step;
  header.epoch = c.epoch;
  header.job_uid = options_.job_uid;
  header.state_digest = state.digest;
  header.update_count = state.header.updates;
  header.exponents = state.header.exponents;
  header.parameters = job_->trainer->layout().parameters;
  header.kernel_family = job_->kernel_family;
  header.build_id = job_->build_id;
  header.data_digest = job_->dataset->digest();
  return checkpoint::WriteManifest(job_->welcome.checkpoint_path, header, c.order.parts_json,
                                   c.order.final, job_->trainer->layout(), job_->spec.program);
}

void Worker::On(const session::WriteManifest& c) {
  disk_.Post([this, c] {
    api::ManifestWritten written;
    written.epoch = c.epoch;
    written.step = c.order.step;
    // Whoever restores this checkpoint has only the lines that come after it.
    WriteLines(c.order.step);
    auto result = WriteManifest(c);
    if (result.ok()) {
      written.manifest_digest = result->digest;
      written.weights_digest = result->weights_digest;
    } else {
      written.error = base::Message(result.status());
      log_.Error("checkpoint", written.error, {{"step", c.order.step}});
    }
    Push(session::ManifestDone{c.order.step, std::move(written)});
  });
}

void Worker::On(const session::PublishCheckpoint& c) {
  disk_.Post([this, c] {
    auto status = checkpoint::PublishCheckpoint(job_->welcome.checkpoint_path,
                                                c.committed.checkpoint, c.committed.kept);
    if (!status.ok()) log_.Warning("checkpoint", base::Message(status));
  });
}

void Worker::On(const session::WriteStepLine& c) {
  disk_.Post([this, step = c.step] { WriteLines(step); });
}

void Worker::WriteLines(base::Step step) {
  if (job_->step_lines == nullptr) return;
  const absl::Status status = job_->step_lines->WriteThrough(step);
  if (!status.ok()) log_.Warning("steps.jsonl", base::Message(status));
}

}  // namespace muster::app

// What a reign needs of the world around it: where its pods live, where its record lives, and the
// streams of its members. One machine and Kubernetes implement it; a reign cannot tell them apart,
// and a test plays it by hand.
//
// Called on the reign's thread. No call waits for what it asks: answers come back as inputs.
#pragma once

#include <string>
#include <variant>

#include "operator/api/messages.h"
#include "operator/api/training_job.h"
#include "operator/base/status.h"
#include "operator/job/changes.h"
#include "operator/job/plan.h"
#include "operator/job/report.h"
#include "operator/membership/machine.h"

namespace muster::app {

// What a reign is fed with: membership's events and the watch's changes.
using Input = std::variant<membership::Event, job::Change>;

class Environment {
 public:
  virtual ~Environment() = default;

  // ---- pods: what came of it the watch shows. Where status and pods are written apart, this comes
  // after the status that was written last, if that tells of a loss, or fixes an image, that those
  // before it did not.
  virtual void CreatePod(const job::CreatePod& wanted) = 0;
  virtual void DeletePod(const job::DeletePod& wanted) = 0;
  // What was asked for this pod has not been done or refused yet.
  virtual bool IsUnderWay(const std::string& pod) const = 0;

  // What workers of the job are made from; its status remembers it. Empty: nothing of that kind.
  virtual std::string WorkerImage(const api::TrainingJob& job) const = 0;

  // The job is over and its time to live, too: it goes with all that it owns. One machine keeps what
  // it was told to run.
  virtual void DeleteJob(const job::Verdict& why) = 0;

  // ---- for people and for whoever comes next
  virtual void WriteStatus(job::SharedStatus status) = 0;
  virtual void Tell(job::Report report) = 0;

  // ---- the record (M1): answered by membership::Persisted, in order
  virtual void Persist(membership::Persist persist) = 0;

  // ---- members
  // The term is in the record: from here on they may come. Not OK: they never can.
  virtual absl::Status Listen() = 0;
  // A stream that is gone says so by itself (membership::StreamClosed): nothing is lost that its
  // member's next Hello does not tell.
  virtual void Send(membership::StreamId stream, const api::FromCoordinator& message) = 0;
  virtual void CloseStream(membership::StreamId stream) = 0;
};

}  // namespace muster::app

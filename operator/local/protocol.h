// What the cluster and its coordinator say to each other over the Unix socket: the one-machine twin
// of list, watch, create, delete and status writes.
//
// cluster -> coordinator: Opening (the list), then changes (the watch).
// coordinator -> cluster: requests and reports. None is answered: the watch shows what came of
// them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/base/status.h"
#include "operator/job/changes.h"
#include "operator/job/observed.h"
#include "operator/local/events.h"

namespace muster::local {

// What a coordinator of this cluster has to know besides the objects.
struct ClusterSettings {
  std::string token;       // workers prove with it that they belong to the job
  int port = 0;            // held by the cluster, to be bound with SO_REUSEPORT
  int metrics_port = -1;   // -1: none, 0: any free one
  std::string audit_file;  // empty: none
  std::string record_dir;
  std::string checkpoint_dir;  // empty: the job writes no checkpoints
  std::string log_format = "text";
  std::int64_t reigns = 0;  // coordinators of this run so far, this one included
  friend bool operator==(const ClusterSettings&, const ClusterSettings&) = default;
};

struct Opening {
  ClusterSettings settings;
  api::TrainingJob job;
  std::vector<job::Pod> pods;
  std::map<std::int32_t, std::int32_t> highest_incarnation;  // by ordinal, of this run
  friend bool operator==(const Opening&, const Opening&) = default;
};
struct JobChanged {
  api::TrainingJob job;
  friend bool operator==(const JobChanged&, const JobChanged&) = default;
};
struct PodChanged {
  job::Pod pod;
  friend bool operator==(const PodChanged&, const PodChanged&) = default;
};
using job::PodDeleted;
using ClusterMessage = std::variant<Opening, JobChanged, PodChanged, PodDeleted>;

// A repeated create is the same create; an id that was used before is refused with a note.
struct CreatePodRequest {
  std::string name;
  base::MemberId member;
  std::string reason;
  friend bool operator==(const CreatePodRequest&, const CreatePodRequest&) = default;
};
struct DeletePodRequest {
  std::string name;
  std::string uid;
  bool force = false;
  std::string reason;
  friend bool operator==(const DeletePodRequest&, const DeletePodRequest&) = default;
};
struct WriteStatus {
  api::TrainingJobStatus status;
  friend bool operator==(const WriteStatus&, const WriteStatus&) = default;
};
struct Report {
  LocalEvent event;
  friend bool operator==(const Report&, const Report&) = default;
};
// The coordinator cannot work, and neither could another one: a port that is taken, a record that
// cannot be written.
struct GiveUp {
  std::string reason;
  std::string message;
  friend bool operator==(const GiveUp&, const GiveUp&) = default;
};
using CoordinatorRequest =
    std::variant<CreatePodRequest, DeletePodRequest, WriteStatus, Report, GiveUp>;

// One line of JSON each, and back. InvalidArgument says what could not be understood.
std::string Encode(const ClusterMessage& message);
std::string Encode(const CoordinatorRequest& request);
absl::StatusOr<ClusterMessage> DecodeClusterMessage(std::string_view line);
absl::StatusOr<CoordinatorRequest> DecodeCoordinatorRequest(std::string_view line);

}  // namespace muster::local

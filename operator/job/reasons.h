// The closed list of reasons that plans give: CamelCase words of conditions, failures and notes.
//
// docs/reasons.md has a line for each; a test compares. Reasons of membership (Invariant,
// DigestMismatch, the reasons of evictions) come from there and are passed on unchanged.
#pragma once

namespace muster::job::reasons {

// Condition types.
inline constexpr char kAdmitted[] = "Admitted";
inline constexpr char kRunning[] = "Running";
inline constexpr char kDegraded[] = "Degraded";
inline constexpr char kResizing[] = "Resizing";
inline constexpr char kSuspended[] = "Suspended";
inline constexpr char kSucceeded[] = "Succeeded";
inline constexpr char kFailed[] = "Failed";

// Reasons of conditions.
inline constexpr char kAccepted[] = "Accepted";
inline constexpr char kStarting[] = "Starting";
inline constexpr char kTraining[] = "Training";
inline constexpr char kFinishing[] = "Finishing";
inline constexpr char kMembersMissing[] = "MembersMissing";
inline constexpr char kBelowMin[] = "BelowMin";
inline constexpr char kAllMembersPresent[] = "AllMembersPresent";
inline constexpr char kNoSpaceLeft[] = "NoSpaceLeft";
inline constexpr char kCheckpointFailed[] = "CheckpointFailed";
inline constexpr char kTargetChanged[] = "TargetChanged";
inline constexpr char kTargetReached[] = "TargetReached";
inline constexpr char kDraining[] = "Draining";
inline constexpr char kDrained[] = "Drained";
inline constexpr char kNoWorkers[] = "NoWorkers";
inline constexpr char kNoCheckpointPath[] = "NoCheckpointPath";
inline constexpr char kNotSuspended[] = "NotSuspended";
inline constexpr char kAllStepsCommitted[] = "AllStepsCommitted";
inline constexpr char kNotFinished[] = "NotFinished";
inline constexpr char kNotFailed[] = "NotFailed";
inline constexpr char kEnded[] = "Ended";

// Why a job is not admitted.
inline constexpr char kUnreadable[] = "Unreadable";
inline constexpr char kGpuMismatch[] = "GpuMismatch";
inline constexpr char kSpecChanged[] = "SpecChanged";
inline constexpr char kTemplateChanged[] = "TemplateChanged";
inline constexpr char kTemplateRefused[] = "TemplateRefused";

// Why wanted pods do not run.
inline constexpr char kNamespaceTerminating[] = "NamespaceTerminating";
inline constexpr char kQuotaExceeded[] = "QuotaExceeded";
inline constexpr char kPodsForbidden[] = "PodsForbidden";
inline constexpr char kImagePullFailed[] = "ImagePullFailed";
inline constexpr char kContainerCannotStart[] = "ContainerCannotStart";
inline constexpr char kUnschedulable[] = "Unschedulable";

// Reasons why a job fails.
inline constexpr char kRefused[] = "Refused";
inline constexpr char kBadConfiguration[] = "BadConfiguration";
inline constexpr char kBadData[] = "BadData";
inline constexpr char kOutOfMemory[] = "OutOfMemory";
inline constexpr char kNoDevice[] = "NoDevice";
inline constexpr char kWorkersCrash[] = "WorkersCrash";
inline constexpr char kFailurePolicy[] = "FailurePolicy";
inline constexpr char kTooManyReplacements[] = "TooManyReplacements";
inline constexpr char kDeadlineExceeded[] = "DeadlineExceeded";

// Reasons of losses.
inline constexpr char kExited[] = "Exited";
inline constexpr char kKilled[] = "Killed";
inline constexpr char kNodeLost[] = "NodeLost";
inline constexpr char kEvicted[] = "Evicted";
inline constexpr char kFenced[] = "Fenced";
inline constexpr char kNeverJoined[] = "NeverJoined";
inline constexpr char kLeft[] = "Left";

// Cause of a view whose making no coordinator lived to report.
inline constexpr char kCoordinatorRestarted[] = "CoordinatorRestarted";

// Reasons of creations and deletions.
inline constexpr char kScaleUp[] = "ScaleUp";
inline constexpr char kScaleDown[] = "ScaleDown";
inline constexpr char kReplacement[] = "Replacement";
inline constexpr char kSurge[] = "Surge";
inline constexpr char kNodeFaulty[] = "NodeFaulty";
inline constexpr char kNotTerminated[] = "NotTerminated";
inline constexpr char kJobEnded[] = "JobEnded";
inline constexpr char kJobSuspended[] = "JobSuspended";
inline constexpr char kTtlExpired[] = "TtlExpired";

}  // namespace muster::job::reasons

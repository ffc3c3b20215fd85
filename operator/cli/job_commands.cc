#include "operator/cli/job_commands.h"

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <ostream>
#include <thread>
#include <vector>

#include "operator/api/quantity.h"
#include "operator/api/training_job_json.h"
#include "operator/base/pod_members.h"
#include "operator/cli/cluster_access.h"
#include "operator/cli/job_text.h"
#include "operator/kube/cpprest_transport.h"
#include "operator/kube/labels.h"
#include "operator/runtime/clock.h"
#include "operator/runtime/mutex.h"

namespace muster::cli {
namespace {

using kube::Json;

// One command against one job.
class Act {
 public:
  Act(const JobFlags& flags, const kube::Client& client, std::string ns, std::ostream& out)
      : flags_(flags), client_(client), key_{std::move(ns), flags.job}, out_(out) {}

  absl::Status Run() {
    switch (flags_.verb) {
      case JobVerb::kStatus:
        return Status();
      case JobVerb::kLogs:
        return Logs();
      case JobVerb::kEvents:
        return Events();
      case JobVerb::kSuspend:
        return Suspend(true);
      case JobVerb::kResume:
        return Suspend(false);
      case JobVerb::kScale:
        return Scale();
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<std::string> JobText() const {
    auto text = client_.Get(kube::kTrainingJobs, key_);
    if (text.status().code() == absl::StatusCode::kNotFound) {
      return base::NotFound("there is no TrainingJob " + key_.name + " in namespace " + key_.ns);
    }
    return text;
  }

  absl::StatusOr<JobSight> Sight() const {
    MUSTER_ASSIGN_OR_RETURN(const std::string text, JobText());
    JobSight sight;
    MUSTER_ASSIGN_OR_RETURN(sight.job, api::ParseTrainingJob(text));
    kube::ListOptions list;
    list.label_selector = std::string(kube::kJobUidLabel) + "=" + sight.job.uid;
    MUSTER_ASSIGN_OR_RETURN(const auto pods, client_.ListAll(kube::kPods, key_.ns, list));
    for (const std::string& pod : pods) {
      auto read = kube::ProjectPod(Json::parse(pod));
      if (read.ok()) sight.pods.push_back(*std::move(read));
    }
    return sight;
  }

  absl::Status Status() {
    if (flags_.output == Output::kJson) {
      MUSTER_ASSIGN_OR_RETURN(const std::string text, JobText());
      out_ << Json::parse(text).dump(2) << "\n";
      return absl::OkStatus();
    }
    MUSTER_ASSIGN_OR_RETURN(const JobSight sight, Sight());
    for (const std::string& line : StatusLines(sight, clock_.WallNow())) out_ << line << "\n";
    return absl::OkStatus();
  }

  absl::Status Logs() {
    MUSTER_ASSIGN_OR_RETURN(const JobSight sight, Sight());
    std::vector<const kube::PodRecord*> chosen;
    std::string there;
    for (const kube::PodRecord& pod : sight.pods) {
      there += (there.empty() ? "" : ", ") + base::ToString(pod.pod.member);
      // Processes of one pod share its log.
      const auto member = base::ParseMemberId(flags_.member);
      const bool meant = member.ok() && base::PodOf(*member, pod.processes) == pod.pod.member;
      if (flags_.member.empty() || meant) chosen.push_back(&pod);
    }
    if (chosen.empty()) {
      return base::NotFound(flags_.member.empty()
                                ? "the job has no pods; muster status " + key_.name + " says why"
                                : "there is no member " + flags_.member + "; there are " + there);
    }
    std::vector<std::jthread> readers;
    std::vector<absl::Status> ended(chosen.size());
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      readers.emplace_back([this, pod = chosen[i], prefix = chosen.size() > 1, end = &ended[i]] {
        *end = Copy(*pod, prefix);
      });
    }
    readers.clear();
    for (const absl::Status& status : ended) MUSTER_RETURN_IF_ERROR(status);
    return absl::OkStatus();
  }

  // A pod with one container needs no name for it; of several ours is called `worker`.
  absl::Status Copy(const kube::PodRecord& pod, bool prefix) {
    kube::LogOptions options;
    if (flags_.tail >= 0) options.tail_lines = flags_.tail;
    absl::Status copied = Copy(pod, prefix, options);
    if (copied.code() != absl::StatusCode::kInvalidArgument) return copied;
    options.container = kube::kWorkerContainer;
    return Copy(pod, prefix, options);
  }

  absl::Status Copy(const kube::PodRecord& pod, bool prefix, const kube::LogOptions& options) {
    const kube::ObjectKey key{key_.ns, pod.pod.name};
    const std::string head = prefix ? "[" + base::ToString(pod.pod.member) + "] " : "";
    const auto tell = [&](std::string_view line) {
      runtime::MutexLock lock(out_mutex_);
      out_ << head << line << "\n" << std::flush;
      return static_cast<bool>(out_);
    };
    if (flags_.follow) return client_.FollowLogs(key, options, tell, {});
    MUSTER_ASSIGN_OR_RETURN(const std::string text, client_.Logs(key, options));
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      tell(std::string_view(text).substr(at, end - at));
      at = end + 1;
    }
    return absl::OkStatus();
  }

  absl::Status Events() {
    MUSTER_ASSIGN_OR_RETURN(const JobSight sight, Sight());
    std::vector<std::string> uids = {sight.job.uid};
    for (const kube::PodRecord& pod : sight.pods) uids.push_back(pod.pod.uid);
    std::vector<EventLine> lines;
    for (const std::string& uid : uids) {
      kube::ListOptions list;
      list.field_selector = "regarding.uid=" + uid;
      MUSTER_ASSIGN_OR_RETURN(const auto events, client_.ListAll(kube::kEvents, key_.ns, list));
      for (const std::string& event : events) lines.push_back(LineOf(Json::parse(event)));
    }
    for (const std::string& line : EventLines(std::move(lines), clock_.WallNow())) {
      out_ << line << "\n";
    }
    return absl::OkStatus();
  }

  // Of both generations of the kind: the newer one has eventTime and note, the older first and last
  // times, which the API server shows under `deprecated...`.
  static EventLine LineOf(const Json& event) {
    EventLine line;
    for (const char* key : {"eventTime", "deprecatedLastTimestamp", "deprecatedFirstTimestamp"}) {
      const auto time = api::ParseTime(kube::TextAt(event, {key}));
      if (time.ok()) {
        line.time = *time;
        break;
      }
    }
    line.type = kube::TextAt(event, {"type"});
    line.reason = kube::TextAt(event, {"reason"});
    line.note = kube::TextAt(event, {"note"});
    line.count = std::max<std::int64_t>({1, kube::IntegerAt(event, {"deprecatedCount"}),
                                         kube::IntegerAt(event, {"series", "count"})});
    return line;
  }

  absl::Status Suspend(bool suspend) {
    const Json patch = {{"spec", {{"suspend", suspend}}}};
    MUSTER_RETURN_IF_ERROR(
        client_.PatchMerge(kube::kTrainingJobs, key_, "", kube::Dump(patch)).status());
    out_ << "trainingjob.muster.dev/" << key_.name << (suspend ? " suspended\n" : " resumed\n");
    return absl::OkStatus();
  }

  absl::Status Scale() {
    MUSTER_RETURN_IF_ERROR(client_.Scale(kube::kTrainingJobs, key_, flags_.replicas));
    out_ << "trainingjob.muster.dev/" << key_.name << " scaled to " << flags_.replicas << "\n";
    return absl::OkStatus();
  }

  const JobFlags& flags_;
  const kube::Client& client_;
  const kube::ObjectKey key_;
  runtime::Mutex out_mutex_;
  std::ostream& out_;
  const runtime::RealClock clock_;
};

}  // namespace

int RunJobCommand(const JobFlags& flags, const kube::Client& client, const std::string& ns,
                  std::ostream& out, std::ostream& err) {
  const absl::Status done = Act(flags, client, ns, out).Run();
  if (done.ok()) return kExitSucceeded;
  err << "muster: " << base::Message(done) << "\n";
  return kExitFailed;
}

int RunJobCommand(const JobFlags& flags, std::ostream& out, std::ostream& err) {
  kube::PrepareProcessForHttps();
  const runtime::RealClock clock;
  const auto get = [](const char* name) -> const char* { return std::getenv(name); };
  const auto cluster = FindCluster(flags.cluster, get, ReadFileText, clock);
  if (!cluster.ok()) {
    err << "muster: " << base::Message(cluster.status()) << "\n";
    return kExitFailed;
  }
  const auto transport = kube::MakeCpprestTransport(*cluster);
  if (!transport.ok()) {
    err << "muster: " << base::Message(transport.status()) << "\n";
    return kExitFailed;
  }
  const kube::Client client(**transport);
  return RunJobCommand(flags, client, cluster->ns, out, err);
}

}  // namespace muster::cli

// The loop of the one-machine cluster: waits, takes what has happened, supervises the coordinator.
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "operator/api/conditions.h"
#include "operator/api/record_json.h"
#include "operator/api/training_job_json.h"
#include "operator/local/cluster_impl.h"
#include "operator/runtime/entropy.h"

namespace muster::local {
namespace {

constexpr base::Duration kQuickDeath = std::chrono::seconds(2);
constexpr int kMostQuickDeaths = 6;
// Pods of an ended job exit by themselves within milliseconds; this is for those that hang.
constexpr base::Duration kEndingGrace = std::chrono::seconds(5);
constexpr base::Duration kStatusEvery = std::chrono::seconds(1);

std::string DescribeEnd(const ProcessExited& exited) {
  if (exited.signal) return "killed by signal " + std::to_string(*exited.signal);
  return "exited with code " + std::to_string(exited.exit_code.value_or(-1));
}

// The newest record of an earlier run, for the first line only; the coordinator reads its own.
bool HasCheckpoint(const std::string& record_dir) {
  std::uint64_t newest = 0;
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(record_dir, error)) {
    if (file.path().extension() != ".json") continue;
    newest =
        std::max<std::uint64_t>(newest, std::strtoull(file.path().stem().c_str(), nullptr, 10));
  }
  std::ifstream in(record_dir + "/" + std::to_string(newest) + ".json");
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  auto record = api::ParseRecord(text);
  return record.ok() && record->checkpoint.has_value();
}

}  // namespace

LocalCluster::Impl::Impl(ClusterOptions options, std::unique_ptr<StateDir> state_dir,
                         UniqueFd port_holder, int port, std::unique_ptr<ApiServer> server,
                         std::unique_ptr<ProcessTable> processes, UniqueFd wake)
    : options_(std::move(options)),
      state_dir_(std::move(state_dir)),
      port_holder_(std::move(port_holder)),
      wake_(std::move(wake)),
      job_(options_.job),
      faults_(options_.faults, clock_.Now()),
      server_(std::move(server)),
      processes_(std::move(processes)) {
  job_.uid = state_dir_->uid();
  settings_.token = runtime::RandomToken();
  settings_.port = port;
  settings_.metrics_port = options_.metrics_port;
  settings_.audit_file = options_.audit_file;
  settings_.record_dir = state_dir_->record_dir();
  settings_.checkpoint_dir =
      CheckpointDir(state_dir_->path(), options_.job.spec.checkpoint.path, options_.state_dir_wins);
  settings_.log_format = options_.log_format;
  resumes_ = HasCheckpoint(settings_.record_dir);
  ResumeStatus();
}

void LocalCluster::Impl::Request(std::atomic<bool>& what) {
  what.store(true);
  const std::uint64_t one = 1;
  // A full eventfd is readable all the same.
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof(one));
}

// An object outlives its runs: sums and history go on, what described the end of the last run does
// not.
void LocalCluster::Impl::ResumeStatus() {
  auto status = api::ParseTrainingJobStatus(state_dir_->ReadStatus());
  if (!status.ok()) return;
  if (status->state == api::JobState::kFailed) {
    for (api::FailureEntry& failure : status->failures) failure.charged = false;
  }
  if (status->state != api::JobState::kSucceeded) {
    status->state = api::JobState::kPending;
    status->conditions.clear();
    status->members = 0;
  }
  // Nobody was there between the runs.
  status->time_seconds.state.clear();
  job_.status = std::move(*status);
}

absl::StatusOr<Outcome> LocalCluster::Impl::Run() {
  if (job_.status.state == api::JobState::kSucceeded) {
    TellNote("the job has succeeded before; nothing is left to do");
    return Outcome{Ending::kSucceeded, job_.status, {}};
  }
  while (!Finished()) {
    TakeRequests();
    Supervise();
    WaitForSomething();
    TakeProcessEvents();
    TakeArrivals();
    Apply(faults_.OnTick(Now()));
    EnforceGraces();
    SaveStatus(false);
  }
  processes_->KillAll();
  SaveStatus(true);
  return Outcome{*ending_, job_.status, faults_.Unfired()};
}

void LocalCluster::Impl::WaitForSomething() {
  std::vector<pollfd> waits = {{wake_.get(), POLLIN, 0}, {processes_->fd(), POLLIN, 0}};
  for (const ApiServer::Interest& interest : server_->interests()) {
    const short events = static_cast<short>(interest.write ? POLLIN | POLLOUT : POLLIN);
    waits.push_back({interest.fd, events, 0});
  }
  // Exits and messages wake us; a stop of a process (a breakpoint reached) is only seen by looking.
  const int timeout_ms = faults_.WaitsForStop() ? 2 : 20;
  poll(waits.data(), waits.size(), timeout_ms);
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t drained = read(wake_.get(), &count, sizeof(count));
}

void LocalCluster::Impl::TakeRequests() {
  if (end_requested.load() && ending_ != Ending::kEnded) {
    ending_ = Ending::kEnded;
    return;
  }
  if (drain_requested.load() && !job_.spec.suspend) {
    job_.spec.suspend = true;
    ++job_.generation;
    server_->Send(JobChanged{job_});
  }
}

void LocalCluster::Impl::TakeProcessEvents() {
  for (const ProcessEvent& event : processes_->Poll()) {
    const pid_t pid = std::visit([](const auto& e) { return e.pid; }, event);
    const auto* exited = std::get_if<ProcessExited>(&event);
    if (pid == coordinator_.pid) {
      if (exited != nullptr) OnCoordinatorExit(*exited);
      continue;
    }
    Entry* entry = FindByPid(pid);
    if (entry == nullptr) continue;
    if (exited != nullptr) {
      OnPodExit(*entry, *exited);
    } else if (std::holds_alternative<ProcessStopped>(event)) {
      OnPodStopped(*entry);
    } else {
      entry->stopped = false;
    }
  }
}

void LocalCluster::Impl::TakeArrivals() {
  ApiServer::Arrived arrived = server_->Poll();
  for (const std::string& error : arrived.errors) {
    TellNote("the coordinator said something strange: " + error);
  }
  for (const CoordinatorRequest& request : arrived.requests) Handle(request);
  if (!arrived.connected) return;
  Opening opening;
  opening.settings = settings_;
  opening.job = job_;
  for (const auto& [name, entry] : pods_) {
    if (!entry.deleted) opening.pods.push_back(entry.pod);
  }
  for (base::MemberId member : used_) {
    auto [it, added] = opening.highest_incarnation.emplace(member.ordinal, member.incarnation);
    it->second = std::max(it->second, member.incarnation);
  }
  server_->Send(opening);
}

void LocalCluster::Impl::Handle(const CoordinatorRequest& request) {
  std::visit([this](const auto& r) { Handle(r); }, request);
}

void LocalCluster::Impl::Handle(const WriteStatus& request) {
  job_.status = request.status;
  status_dirty_ = true;
  const api::JobState state = request.status.state;
  if (state == api::JobState::kSucceeded && !ending_) ending_ = Ending::kSucceeded;
  if (state == api::JobState::kFailed && !ending_) ending_ = Ending::kFailed;
  if (state == api::JobState::kSuspended && job_.spec.suspend && !ending_) {
    ending_ = Ending::kDrained;
  }
  Tell(StatusChanged{job_.status});
}

void LocalCluster::Impl::Handle(const Report& report) {
  Tell(report.event);
  if (const auto* step = std::get_if<StepCommitted>(&report.event)) {
    Apply(faults_.OnStepCommitted(Now(), step->step));
  } else if (const auto* live = std::get_if<Live>(&report.event); live != nullptr) {
    // Before the view is installed by all, its members may not have told what they have committed.
    const bool trains = live->size > 0 && live->phase == "Settled";
    if (trains) Apply(faults_.OnTraining(Now(), live->committed));
  }
}

void LocalCluster::Impl::Handle(const GiveUp& request) { Fail(request.reason, request.message); }

void LocalCluster::Impl::Fail(const std::string& reason, const std::string& message) {
  if (ending_) return;
  job_.status.state = api::JobState::kFailed;
  api::SetCondition(job_.status.conditions, {"Failed", "True", reason, message, clock_.WallNow()});
  status_dirty_ = true;
  ending_ = Ending::kFailed;
  Tell(StatusChanged{job_.status});
}

void LocalCluster::Impl::Supervise() {
  if (ending_ || coordinator_.pid != 0 || Now() < coordinator_.restart_at) return;
  StartCoordinator();
}

void LocalCluster::Impl::StartCoordinator() {
  std::vector<std::string> environment = Environment({"MUSTER_LOG_FORMAT=" + settings_.log_format});
  const bool first = settings_.reigns == 0;
  if (const char* die = std::getenv("MUSTER_TEST_COORDINATOR_DIE"); die != nullptr && first) {
    environment.push_back(std::string("MUSTER_TEST_COORDINATOR_DIE=") + die);
  }
  const std::string log = state_dir_->logs_dir() + "/coordinator.log";
  auto pid = processes_->Start(
      {options_.programs.muster, {"coordinator", "--socket", server_->path()}, environment, log});
  if (!pid.ok()) {
    Fail("CoordinatorCrashes", base::Message(pid.status()));
    return;
  }
  coordinator_.pid = *pid;
  coordinator_.started = Now();
  coordinator_.killed_on_purpose = false;
  if (!first) Tell(CoordinatorRestarted{*pid, coordinator_.last_end});
  ++settings_.reigns;
}

void LocalCluster::Impl::OnCoordinatorExit(const ProcessExited& exited) {
  // Its last words are still in the socket.
  TakeArrivals();
  server_->Disconnect();
  coordinator_.pid = 0;
  coordinator_.last_end = DescribeEnd(exited);
  const bool quick = Now() - coordinator_.started < kQuickDeath && !coordinator_.killed_on_purpose;
  coordinator_.quick_deaths = quick ? coordinator_.quick_deaths + 1 : 0;
  // At once, unless it dies as soon as it is born.
  const int doublings = std::max(0, coordinator_.quick_deaths - 2);
  const base::Duration wait = coordinator_.quick_deaths < 2
                                  ? base::Duration(0)
                                  : base::Duration(std::chrono::milliseconds(100 << doublings));
  coordinator_.restart_at = Now() + wait;
  if (coordinator_.quick_deaths < kMostQuickDeaths) return;
  std::string message = "the coordinator " + coordinator_.last_end + " " +
                        std::to_string(coordinator_.quick_deaths) + " times in a row";
  for (const std::string& line : LastLines(state_dir_->logs_dir() + "/coordinator.log", 10)) {
    message += "\n" + line;
  }
  Fail("CoordinatorCrashes", message);
}

void LocalCluster::Impl::SaveStatus(bool now) {
  if (!status_dirty_ || (!now && Now() - status_saved_ < kStatusEvery)) return;
  status_saved_ = Now();
  status_dirty_ = false;
  if (auto saved = state_dir_->WriteStatus(api::StatusToJson(job_.status, 2) + "\n"); !saved.ok()) {
    TellNote(base::Message(saved));
  }
}

bool LocalCluster::Impl::Finished() {
  if (!ending_) return false;
  if (*ending_ == Ending::kEnded) return true;
  if (!ending_since_) ending_since_ = Now();
  const bool workers_left = std::any_of(pods_.begin(), pods_.end(), [](const auto& named) {
    return named.second.pid != 0 && !named.second.deleted;
  });
  const bool given_up = coordinator_.pid == 0 && *ending_ == Ending::kFailed;
  if (workers_left && !given_up && Now() - *ending_since_ < kEndingGrace) return false;
  // The last thing that the coordinator does is to write its files; it is told to when all else is
  // done.
  if (coordinator_.pid == 0) return true;
  if (coordinator_.killed_on_purpose) return Now() - *ending_since_ >= 2 * kEndingGrace;
  coordinator_.killed_on_purpose = true;
  processes_->Signal(coordinator_.pid, SIGTERM);
  return false;
}

void LocalCluster::Impl::Tell(const LocalEvent& event) const {
  if (options_.on_event) options_.on_event(event);
}

}  // namespace muster::local

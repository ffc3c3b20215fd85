// Commands about the job as a whole and about moving its state: load, serve, fetch.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "operator/runtime/build_info.h"
#include "worker/app/device_regions.h"
#include "worker/app/worker.h"
#include "worker/comm/state_transfer.h"
#include "worker/kernels/family.h"

namespace muster::app {
namespace {

// A source that stops in mid-shard is given up after two seconds, and a change of view ends all of
// it; this is for what neither of them sees.
constexpr auto kFetchDeadline = std::chrono::hours(1);
// Set in the environment of a process that executed itself again, so that it does so once.
constexpr const char* kPinned = "MUSTER_PINNED_FAMILY";

}  // namespace

void PinFamily(const std::string& family) {
  const char* pinned = std::getenv(kPinned);
  if (pinned != nullptr && family == pinned) return;
  for (const std::string& entry : kernels::FamilyEnvironment(family)) {
    const auto equals = entry.find('=');
    setenv(entry.substr(0, equals).c_str(), entry.substr(equals + 1).c_str(), 1);
  }
  setenv(kPinned, family.c_str(), 1);
  char program[] = "muster-worker";
  char* arguments[] = {program, nullptr};
  execv("/proc/self/exe", arguments);
  // It cannot: the check of the family that follows says what is wrong.
}

void Worker::On(const session::LoadJob& c) {
  training_.Post([this, welcome = c.welcome] { Load(welcome); });
}

void Worker::Load(const api::Welcome& welcome) {
  const auto supported = kernels::SupportedFamilies();
  if (std::ranges::find(supported, welcome.kernel_family) != supported.end() &&
      !kernels::CheckFamily(welcome.kernel_family).ok()) {
    PinFamily(welcome.kernel_family);  // does not return when it works
  }
  OpenFailure failure;
  const base::Time start = Now();
  const auto on_refused = [this](const std::string& sentence) {
    log_.Warning("data-plane", sentence);
    metrics_.PeerRefused();
  };
  job_ =
      OpenJob(welcome, options_, hooks_, build_id_, tls_.get(), on_refused, &moved_, log_, failure);
  if (job_ == nullptr) {
    Push(session::Broken{failure.code, failure.reason, failure.message});
    return;
  }
  ReadDeviceMemory();
  if (job_->accelerator.peak_flops) metrics_.DevicePeak(*job_->accelerator.peak_flops);
  metrics_.Phase("loading_data", base::ToSeconds(Now() - start));
  if (const std::string& read = job_->start_weights.told(); !read.empty()) {
    log_.Info("weights", "read what the job starts from", {{"sha256", read}});
  }
  Push(session::Loaded{job_->warm, job_->spec});
}

void Worker::On(const session::ServeState& c) {
  if (const auto root = SharingRank(c.view); c.rank >= 0 && root) return GiveState(c, *root);
  comm::ServedState state;
  state.epoch = c.epoch;
  state.step = c.step;
  state.digest = c.digest;
  state.header = train::EncodeHeader(job_->trainer->header());
  if (job_->step_lines != nullptr) state.beside = job_->step_lines->Newest();
  breakpoints_.At("transfer", c.step);
  // A device is read beside the slot that may be in progress on it: none writes to the state.
  const train::Engine& engine = job_->trainer->engine();
  if (engine.on_device()) {
    state.remote = ReadableRegions(*job_->accelerator.context, engine.ServeRegions());
  } else {
    state.regions = engine.ServeRegions();
  }
  job_->server->Serve(std::move(state));
}

void Worker::On(const session::StopServing&) {
  if (job_ != nullptr) job_->server->StopServing();
}

void Worker::On(const session::FetchState& c) {
  auto flag = FlagOf(c.view.epoch);
  if (const auto root = SharingRank(c.view)) {
    training_.Post([this, c, root, flag] { FetchShared(c, *root, *flag); });
    return;
  }
  auto fetch_state = [this, c, flag] { FetchByRing(c, flag); };
  // A device's sums are where a state arrives, and an aborted kernel of NCCL's may write into them
  // until the next view's communicator is installed behind it.
  if (job_->accelerator.link != nullptr && has_reduced_on_device_) {
    PostBehind(communicator_, training_, std::move(fetch_state));
  } else {
    training_.Post(std::move(fetch_state));
  }
}

void Worker::FetchByRing(const session::FetchState& c,
                         const std::shared_ptr<comm::AbortFlag>& flag) {
  comm::FetchOptions fetch;
  fetch.listener = job_->listener.get();
  fetch.job_uid = options_.job_uid;
  fetch.token = options_.token;
  fetch.epoch = c.view.epoch;
  fetch.member = options_.member;
  for (const auto& m : c.view.members) {
    if (m.has_state) fetch.sources.push_back({m.id, m.address});
  }
  for (const auto& l : c.view.leavers) fetch.sources.push_back({l.id, l.address});
  train::Engine& engine = job_->trainer->engine();
  fetch.regions = job_->trainer->ReceiveRegions(c.keep_state);
  if (engine.on_device()) {
    fetch.remote = WritableRegions(*job_->accelerator.context, fetch.regions);
  }
  fetch.deadline = Now() + kFetchDeadline;
  fetch.early = c.view.voluntary;
  fetch.abort = flag;
  fetch.progress = &moved_;
  // A receiver does not know the step of a voluntary change before it has it.
  breakpoints_.At("transfer", c.view.voluntary ? base::Step(INT64_MAX) : c.view.resume_step);
  const auto result = comm::FetchState(fetch);
  if (!result.status.ok()) {
    engine.DropReceived();
    metrics_.Phase("synchronise", result.state.seconds);
    if (!flag->is_set()) {
      Push(session::StateFailed{c.view.epoch, result.failed, base::Message(result.status)});
    }
    return;
  }
  Received received;
  received.step = result.state.step;
  received.digest = result.state.digest;
  received.header = result.state.header;
  received.beside = result.state.beside;
  received.bytes = result.state.bytes;
  received.seconds = result.state.seconds;
  received.by = "ring";
  Adopt(c.view.epoch, received);
}

// Training lane: what is in the void buffers becomes the state, if its digest is what was said.
void Worker::Adopt(base::Epoch epoch, const Received& received) {
  metrics_.Phase("synchronise", received.seconds);
  job_->start_weights.Overwritten();
  auto digest = job_->trainer->AdoptReceived(received.header, received.digest);
  if (!digest.ok()) {
    Push(session::StateFailed{epoch, {}, base::Message(digest.status())});
    return;
  }
  if (job_->step_lines != nullptr) job_->step_lines->RememberOf(received.beside);
  last_applied_ = Now();
  log_.Info("transfer", "received the state",
            {{"step", received.step}, {"bytes", received.bytes}, {"by", received.by}});
  session::StateReceived event;
  event.epoch = epoch;
  event.step = received.step;
  event.digest = *digest;
  event.seconds = received.seconds;
  event.exponents = job_->trainer->ExponentsInForce();
  Push(std::move(event));
}

}  // namespace muster::app

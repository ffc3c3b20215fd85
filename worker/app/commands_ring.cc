// Commands that the communicator lane obeys: connect, reduce, abort.
#include <set>

#include "worker/app/reductions.h"
#include "worker/app/worker.h"
#include "worker/comm/ring.h"

namespace muster::app {
namespace {

constexpr auto kConnectDeadline = std::chrono::seconds(5);
// A joiner of a voluntary view is early: the others come at the end of their step (M5), however
// long that is. The coordinator knows whether they still train, and ends the wait by an Interrupt.
constexpr auto kJoinDeadline = std::chrono::hours(1);
constexpr auto kPoll = std::chrono::milliseconds(20);

}  // namespace

// One flag for all that a view has open: its ring and its state transfer.
std::shared_ptr<comm::AbortFlag> Worker::FlagOf(base::Epoch epoch) {
  if (epoch_flag_ == nullptr || flag_epoch_ != epoch || epoch_flag_->is_set()) {
    if (epoch_flag_ != nullptr) epoch_flag_->Set();
    epoch_flag_ = std::make_shared<comm::AbortFlag>();
    flag_epoch_ = epoch;
  }
  return epoch_flag_;
}

void Worker::On(const session::ConnectRing& c) {
  view_size_.store(static_cast<std::int32_t>(c.view.members.size()));
  const base::Step step = session_.committed().Next();
  communicator_.Post([this, c, step, flag = FlagOf(c.view.epoch)] {
    ring_.reset();
    breakpoints_.At("rebuild", step);
    comm::RingOptions options;
    options.listener = job_->listener.get();
    options.epoch = c.view.epoch;
    options.rank = c.rank;
    for (const auto& m : c.view.members) options.peers.push_back({m.id, m.address});
    const base::Time start = Now();
    // After the coordinator had its time to see a dead node by itself: this is for links alone.
    options.link_silence = std::max(options.link_silence,
                                    2 * base::FromSeconds(job_->welcome.heartbeat_timeout_seconds));
    const bool joins = c.view.voluntary && c.view.resume_step == base::Step();
    options.deadline = start + (joins ? base::Duration(kJoinDeadline) : kConnectDeadline);
    options.abort = flag;
    job_->listener->Fence(c.view.epoch);
    auto connected = comm::Ring::Connect(std::move(options));
    if (connected.status.ok()) {
      ring_ = std::move(connected.ring);
      ring_epoch_ = c.view.epoch;
      ring_flag_ = flag;
      std::set<std::string> nodes;
      for (const auto& m : c.view.members) nodes.insert(m.node);
      metrics_.ViewConnected(Now(), job_->welcome.job_name, static_cast<std::int32_t>(nodes.size()),
                             static_cast<std::int32_t>(c.view.members.size()));
      connected.status = InstallNccl(c);
    }
    const double seconds = base::ToSeconds(Now() - start);
    metrics_.Phase("rebuild", seconds);
    if (connected.status.ok()) {
      Push(session::RingReady{c.view.epoch, seconds});
    } else if (!flag->is_set()) {
      ring_.reset();
      Push(session::RingFailed{c.view.epoch, std::move(connected.unreachable),
                               base::Message(connected.status)});
    }
  });
}

// The ring has greeted the neighbours, so NCCL is entered by members that live (M7).
absl::Status Worker::InstallNccl(const session::ConnectRing& c) {
  nccl::Link* const link = job_->accelerator.link.get();
  if (link == nullptr) return absl::OkStatus();
  const absl::Status installed = link->Install(
      *ring_, *ring_flag_,
      {c.view.epoch, c.rank, static_cast<std::int32_t>(c.view.members.size()), &moved_});
  metrics_.NcclInit(installed.ok(), link->rebuilds());
  if (installed.ok()) training_.Post([this, epoch = c.view.epoch] { LookForLeaks(epoch); });
  if (!installed.ok() && !absl::IsUnavailable(installed) && !absl::IsAborted(installed)) {
    Push(session::Broken{api::ExitCode::kNoDevice, "NoDevice", base::Message(installed)});
  }
  return installed;
}

void Worker::On(const session::AbortRing& c) {
  if (epoch_flag_ != nullptr && flag_epoch_ <= c.epoch) {
    epoch_flag_->Set();
    if (job_ != nullptr && job_->accelerator.link != nullptr) job_->accelerator.link->Abort();
  }
  // The ring says goodbye when it is destroyed or polled; this makes sure that it is soon.
  communicator_.Post([this, epoch = c.epoch] {
    if (ring_ != nullptr && ring_epoch_ <= epoch) ring_.reset();
  });
}

// NCCL carries what lies on the device, the ring the rest. Errors as of one reduction.
absl::Status Worker::AllReduceOnDevice(const session::Reduce& c,
                                       std::span<const comm::Reduction> parts) {
  breakpoints_.At("reduce", c.tag.step);
  has_reduced_on_device_ = true;
  const base::Time start = Now();
  MUSTER_RETURN_IF_ERROR(
      job_->accelerator.link->AllReduce({c.epoch, c.tag.step, c.tag.attempt}, parts, *ring_flag_));
  std::int64_t bytes = 0;
  for (const comm::Reduction& part : parts) bytes += static_cast<std::int64_t>(part.in.size());
  // NCCL does not tell which of its algorithms it took; the Inspector's plugin does. What had begun
  // ahead was not waited for here, so this is the bandwidth that a step sees.
  const base::Time end = Now();
  metrics_.Summed(end, bytes, base::ToSeconds(end - start), "unknown");
  return absl::OkStatus();
}

// Runs one reduction to its end. Aborted and Unavailable leave the inputs whole.
absl::Status Worker::AllReduce(const comm::Reduction& reduction, base::Step step) {
  const base::Time start = Now();
  MUSTER_RETURN_IF_ERROR(ring_->BeginAllReduce(reduction));
  auto done = ring_->Poll(base::Duration(0));
  breakpoints_.At("reduce", step);
  while (!done) done = ring_->Poll(kPoll);
  MUSTER_RETURN_IF_ERROR(*done);
  const base::Time end = Now();
  metrics_.Summed(end, static_cast<std::int64_t>(reduction.in.size()), base::ToSeconds(end - start),
                  "RING_TCP");
  return absl::OkStatus();
}

// Says whose break it was (M3), then that nothing of the reduction counts.
void Worker::ReportBrokenRing(base::Epoch epoch, const absl::Status& status) {
  // Neither a break nor an abort: members disagree on what they reduce, or this one asks for what
  // cannot be. Another attempt would fare no better, and the others must not wait for it.
  if (!absl::IsUnavailable(status) && !absl::IsAborted(status)) {
    return Push(session::Broken{api::ExitCode::kInternal, "Invariant", base::Message(status)});
  }
  if (ring_ != nullptr && absl::IsUnavailable(status)) {
    if (auto peer = ring_->broken_peer()) {
      Push(session::PeerReset{epoch, *peer, base::Message(status)});
    }
  }
  const bool unnamed = job_->accelerator.link != nullptr && absl::IsUnavailable(status) &&
                       ring_ != nullptr && !ring_->broken_peer();
  Push(session::ReduceAborted{epoch, unnamed ? base::Message(status) : std::string()});
}

void Worker::On(const session::Reduce& c) {
  // Behind the training lane: a member without slots in this step has emptied its sums there a
  // moment ago (a state may have been received into them), and nothing else orders that before the
  // ring reads them.
  PostBehind(training_, communicator_, [this, c] { RunReduction(c); });
}

void Worker::RunReduction(const session::Reduce& c) {
  if (ring_ == nullptr || ring_epoch_ != c.epoch) {
    Push(session::ReduceAborted{c.epoch});
    return;
  }
  const base::Time start = Now();
  const nccl::Link* const link = job_->accelerator.link.get();
  const auto all_sent = [&] {
    return ring_->bytes_sent() + (link == nullptr ? 0 : link->bytes_sent());
  };
  const std::int64_t sent = all_sent();
  auto& trainer = *job_->trainer;
  const train::ControlWord control{c.pending_view, c.checkpoint_request, c.stop_request};
  std::size_t sums = 0;
  std::vector<comm::Reduction> on_device, rest;
  for (const auto& vector : trainer.PrepareReduction(control, link != nullptr)) {
    sums += vector.in.size();
    (vector.on_device ? on_device : rest).push_back(ToReduction(vector));
  }
  absl::Status status;
  if (!on_device.empty()) status = AllReduceOnDevice(c, on_device);
  for (std::size_t i = 0; i < rest.size() && status.ok(); ++i) {
    status = AllReduce(rest[i], c.tag.step);
  }
  if (!status.ok()) {
    ReportBrokenRing(c.epoch, status);
    return;
  }
  const train::ReduceOutcome outcome = trainer.FinishReduction();
  session::Reduced reduced;
  reduced.epoch = c.epoch;
  reduced.tag = c.tag;
  reduced.counters_ok = outcome.counters_ok;
  reduced.checksum_ok = outcome.checksum_ok;
  reduced.saturated = outcome.saturated;
  reduced.next_exponents = outcome.next_exponents;
  reduced.view_held_by_all = outcome.agreement.view;
  reduced.checkpoint_held_by_all = outcome.agreement.checkpoint;
  reduced.stop_held_by_all = outcome.agreement.stop;
  reduced.seconds = base::ToSeconds(Now() - start);
  if (!outcome.detail.empty()) log_.Error("reduce", outcome.detail, {{"step", c.tag.step}});
  metrics_.Phase("reduce", reduced.seconds);
  metrics_.ReducedBytes(static_cast<double>(all_sent() - sent));
  log_.Debug("reduce", "reduced",
             {{"step", c.tag.step},
              {"members", view_size_.load()},
              {"sumBytes", sums},
              {"sentBytes", all_sent() - sent}});
  Push(std::move(reduced));
}

void Worker::On(const session::EvaluateShare& c) {
  training_.Post([this, c] {
    const base::Time start = Now();
    auto share =
        std::make_shared<std::vector<std::int64_t>>(job_->trainer->EvaluateShare(c.rank, c.size));
    metrics_.Phase("evaluate", base::ToSeconds(Now() - start));
    communicator_.Post([this, c, share] {
      if (ring_ == nullptr || ring_epoch_ != c.epoch) {
        Push(session::ReduceAborted{c.epoch});
        return;
      }
      std::vector<std::int64_t> out(share->size());
      comm::Reduction reduction;
      reduction.in = std::as_bytes(std::span(*share));
      reduction.out = std::as_writable_bytes(std::span(out));
      if (auto status = AllReduce(reduction, c.step); !status.ok()) {
        ReportBrokenRing(c.epoch, status);
        return;
      }
      Push(session::Evaluated{c.step, train::Trainer::HeldOutLoss(out), c.epoch});
    });
  });
}

}  // namespace muster::app

// A view's state by NCCL (docs/nccl.md): commands that the communicator lane obeys between the
// view's install and its first reduction.
#include <utility>

#include "worker/app/worker.h"
#include "worker/nccl/state_share.h"

namespace muster::app {
namespace {

// An interrupt needs no answer but Ready. A view without a ring or a communicator has said whom it
// could not reach, which a failure without names must not cover up.
bool HasBeenTold(const absl::Status& status, const comm::AbortFlag& flag) {
  return flag.is_set() || absl::IsAborted(status);
}

}  // namespace

// Decided by the view alone, so that all of its members decide alike. Leavers are not in the
// communicator: what they alone have comes from their sockets.
std::optional<std::int32_t> Worker::SharingRank(const api::View& view) const {
  if (job_->accelerator.link == nullptr || view.fresh || view.restore) return std::nullopt;
  for (std::size_t rank = 0; rank < view.members.size(); ++rank) {
    if (view.members[rank].has_state) return static_cast<std::int32_t>(rank);
  }
  return std::nullopt;
}

absl::StatusOr<nccl::StateOffer> Worker::RunShare(base::Epoch epoch, base::Step step,
                                                  nccl::StateShare share) {
  if (ring_ == nullptr || ring_epoch_ != epoch) return base::Aborted("the view is over");
  share.progress = &moved_;
  share.offered = [&] { breakpoints_.At("transfer", step); };
  has_reduced_on_device_ = true;
  nccl::Link& link = *job_->accelerator.link;
  auto offer = nccl::ShareState(link, *ring_, *ring_flag_, share);
  if (offer.ok()) return offer;
  // Nothing of NCCL's may write into the sums any more when others are told that it failed.
  if (const absl::Status quiet = link.AbortAndAwaitQuiet(); !quiet.ok()) {
    Push(session::Broken{api::ExitCode::kNoDevice, "NoDevice", base::Message(quiet)});
  }
  if (auto peer = ring_->broken_peer(); peer && absl::IsUnavailable(offer.status())) {
    Push(session::PeerReset{epoch, *peer, base::Message(offer.status())});
  }
  return offer;
}

// A member that has the state: its own goes out, or it passes on what another one gives.
void Worker::GiveState(const session::ServeState& c, std::int32_t root) {
  nccl::StateShare share;
  share.root = root;
  share.is_root = c.rank == root;
  share.offer = {c.step, c.digest, train::EncodeHeader(job_->trainer->header()), ""};
  if (job_->step_lines != nullptr) share.offer.beside = job_->step_lines->Newest();
  const train::Engine& engine = job_->trainer->engine();
  share.in = engine.ServeRegions();
  share.out.assign(share.in.size(), engine.VoidRegion());
  communicator_.Post([this, c, flag = FlagOf(c.epoch), share = std::move(share)] {
    const auto offer = RunShare(c.epoch, c.step, share);
    if (offer.ok() || HasBeenTold(offer.status(), *flag)) return;
    log_.Warning("transfer", base::Message(offer.status()), {{"step", c.step}});
    Push(session::StateFailed{c.epoch, {}, base::Message(offer.status())});
  });
}

// On the training lane, which waits: what it would do next may need the buffers that are written.
void Worker::FetchShared(const session::FetchState& c, std::int32_t root,
                         const comm::AbortFlag& flag) {
  const base::Time start = Now();
  nccl::StateShare share;
  share.root = root;
  share.out = job_->trainer->ReceiveRegions(c.keep_state);
  std::int64_t bytes = 0;
  for (const auto& region : share.out) bytes += static_cast<std::int64_t>(region.size());
  const base::Step step = c.view.voluntary ? base::Step(INT64_MAX) : c.view.resume_step;
  absl::StatusOr<nccl::StateOffer> offer = base::Aborted("this process ends");
  RunOn(communicator_, [&] { offer = RunShare(c.view.epoch, step, std::move(share)); });
  if (!offer.ok()) {
    job_->trainer->engine().DropReceived();
    metrics_.Phase("synchronise", base::ToSeconds(Now() - start));
    if (!HasBeenTold(offer.status(), flag)) {
      Push(session::StateFailed{c.view.epoch, {}, base::Message(offer.status())});
    }
    return;
  }
  Received received;
  received.step = offer->step;
  received.digest = offer->digest;
  received.header = offer->header;
  received.beside = offer->beside;
  received.bytes = bytes;
  received.seconds = base::ToSeconds(Now() - start);
  received.by = "nccl";
  Adopt(c.view.epoch, received);
}

}  // namespace muster::app

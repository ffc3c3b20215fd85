#include "worker/nccl/link.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <string>
#include <utility>

namespace muster::nccl {
namespace {

// How soon a flag that nobody told us of is seen; Abort wakes at once.
constexpr auto kPoll = std::chrono::milliseconds(20);
// The watchdog has ended the process long before.
constexpr auto kQuiet = std::chrono::minutes(1);

constexpr std::size_t kIdWords = sizeof(UniqueId) / sizeof(std::int64_t);
using IdWords = std::array<std::int64_t, kIdWords + 1>;  // behind the id: 1, there is one

}  // namespace

absl::Status Link::AbortAndAwaitQuiet() {
  communicator_->Abort();
  const auto quiet = communicator_->AwaitQuiet(kQuiet);
  return quiet ? *quiet : base::Internal("NCCL did not let the device go within a minute");
}

// Rank 0 gives its id, the others nothing: the sum is the id. One that could not be made is told as
// well, so that nobody waits for it.
absl::StatusOr<UniqueId> Link::ShareId(comm::Communicator& ring, const Attempt& attempt,
                                       std::int32_t rank) {
  IdWords mine{}, all{};
  absl::Status minted;
  if (rank == 0) {
    const auto id = communicator_->Mint(attempt);
    minted = id.status();
    if (id.ok()) {
      std::memcpy(mine.data(), id->bytes.data(), sizeof(UniqueId));
      mine.back() = 1;
    }
  }
  comm::Reduction reduction;
  reduction.in = std::as_bytes(std::span(mine));
  reduction.out = std::as_writable_bytes(std::span(all));
  MUSTER_RETURN_IF_ERROR(ring.BeginAllReduce(reduction));
  std::optional<absl::Status> done;
  while (!done) done = ring.Poll(kPoll);
  MUSTER_RETURN_IF_ERROR(*done);
  MUSTER_RETURN_IF_ERROR(minted);
  if (all.back() != 1) return base::Unavailable("rank 0 could not make a unique id of NCCL");
  UniqueId id;
  std::memcpy(id.bytes.data(), all.data(), sizeof(UniqueId));
  return id;
}

absl::Status Link::Install(comm::Communicator& ring, const comm::AbortFlag& flag,
                           const Place& place) {
  MUSTER_RETURN_IF_ERROR(AbortAndAwaitQuiet());
  size_ = place.size;
  const Attempt attempt{place.epoch, 1};
  InstallRequest request;
  request.attempt = attempt;
  request.config.rank = place.rank;
  request.config.size = place.size;
  MUSTER_ASSIGN_OR_RETURN(request.config.id, ShareId(ring, attempt, place.rank));
  MUSTER_RETURN_IF_ERROR(communicator_->BeginInstall(std::move(request)));
  while (true) {
    if (const auto installed = communicator_->PollInstall(kPoll)) return *installed;
    if (place.progress != nullptr) place.progress->fetch_add(1, std::memory_order_relaxed);
    if (flag.is_set()) communicator_->Abort();
  }
}

bool Link::BeginAhead(const SumsOf& of) {
  const auto begun = communicator_->BeginReduction(of.epoch);
  if (!begun.ok()) return false;
  runtime::MutexLock lock(mutex_);
  ahead_ = Ahead{of, *begun, 0, absl::OkStatus()};
  return true;
}

void Link::GiveAhead(const comm::Reduction& part, Event ready, bool last) {
  runtime::MutexLock lock(mutex_);
  if (!ahead_) return;
  ++ahead_->parts;
  if (!ahead_->status.ok()) return;
  const SumVector vector{part, 1};
  ahead_->status = communicator_->GiveGroup(ahead_->reduction, {&vector, 1}, ready, last);
}

absl::Status Link::GiveAll(const SumsOf& of, std::span<const comm::Reduction> parts) {
  MUSTER_ASSIGN_OR_RETURN(const std::uint64_t reduction, communicator_->BeginReduction(of.epoch));
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const SumVector vector{parts[i], 1};
    MUSTER_RETURN_IF_ERROR(
        communicator_->GiveGroup(reduction, {&vector, 1}, Event{}, i + 1 == parts.size()));
  }
  return absl::OkStatus();
}

absl::Status Link::AllReduce(const SumsOf& of, std::span<const comm::Reduction> parts,
                             const comm::AbortFlag& flag) {
  std::optional<Ahead> ahead;
  {
    runtime::MutexLock lock(mutex_);
    ahead = std::exchange(ahead_, std::nullopt);
  }
  if (ahead && ahead->of.epoch == of.epoch) {
    // Groups are matched by their order alone: others would be added to what the peers have there.
    if (ahead->of != of || ahead->parts != parts.size()) {
      return base::Internal("other sums were begun ahead than step " +
                            std::to_string(of.step.value) + " attempt " +
                            std::to_string(of.attempt) + " reduces");
    }
    // That it failed while parts were given is told below, with the reason.
    if (!ahead->status.ok() && !absl::IsAborted(ahead->status)) return ahead->status;
  } else {
    MUSTER_RETURN_IF_ERROR(GiveAll(of, parts));
  }
  MUSTER_RETURN_IF_ERROR(Finish(flag));
  std::size_t bytes = 0;
  for (const comm::Reduction& part : parts) bytes += part.in.size();
  CountSent(2, bytes);
  return absl::OkStatus();
}

absl::Status Link::Broadcast(std::int32_t root, std::span<const std::byte> in,
                             std::span<std::byte> out, const comm::AbortFlag& flag,
                             std::atomic<std::uint64_t>* progress) {
  constexpr std::size_t kWord = sizeof(std::int32_t);
  for (std::size_t at = 0; at < out.size(); at += kBroadcastBytes) {
    const std::size_t bytes = std::min(kBroadcastBytes, out.size() - at);
    if (bytes % kWord != 0) return base::InvalidArgument("a broadcast of no whole words");
    const void* const from = in.empty() ? nullptr : in.data() + at;
    MUSTER_RETURN_IF_ERROR(
        communicator_->BeginBroadcast(root, from, out.data() + at, bytes / kWord));
    MUSTER_RETURN_IF_ERROR(Finish(flag));
    CountSent(1, bytes);
    if (progress != nullptr) *progress += bytes;
  }
  return absl::OkStatus();
}

absl::Status Link::Finish(const comm::AbortFlag& flag) {
  while (true) {
    if (const auto done = communicator_->Poll(kPoll)) return *done;
    if (flag.is_set()) communicator_->Abort();
  }
}

void Link::CountSent(std::int64_t passes, std::size_t bytes) {
  runtime::MutexLock lock(mutex_);
  bytes_sent_ += passes * (size_ - 1) * static_cast<std::int64_t>(bytes) / size_;
}

std::int64_t Link::bytes_sent() const {
  runtime::MutexLock lock(mutex_);
  return bytes_sent_;
}

}  // namespace muster::nccl

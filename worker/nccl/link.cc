#include "worker/nccl/link.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <string>

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
  const Attempt attempt{place.epoch, 1};
  InstallRequest request;
  request.attempt = attempt;
  request.config.rank = place.rank;
  request.config.size = place.size;
  MUSTER_ASSIGN_OR_RETURN(request.config.id, ShareId(ring, attempt, place.rank));
  MUSTER_RETURN_IF_ERROR(communicator_->BeginInstall(std::move(request)));
  while (true) {
    if (const auto installed = communicator_->PollInstall(kPoll)) return *installed;
    if (flag.is_set()) communicator_->Abort();
  }
}

absl::Status Link::AllReduce(const comm::Reduction& reduction, const comm::AbortFlag& flag) {
  const SumVector vector{reduction, 1};
  MUSTER_RETURN_IF_ERROR(communicator_->BeginGroup({&vector, 1}));
  return Finish(flag);
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

}  // namespace muster::nccl

// The caller's side: requests go in, statuses come out. The owner thread is communicator_owner.cc.
#include "worker/nccl/communicator.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "worker/comm/reduce.h"

namespace muster::nccl {
namespace {

absl::Status AbortedByCaller() { return base::Aborted("the communicator was aborted"); }

absl::Status CheckShape(const comm::Reduction& r) {
  if (r.in.size() != r.out.size()) {
    return base::InvalidArgument("input and output of a reduction differ in size");
  }
  if (r.in.size() % ElementBytes(r.type) != 0) {
    return base::InvalidArgument("a reduction that is no whole number of elements");
  }
  // std::less orders pointers into different arrays too.
  const std::less<const std::byte*> before;
  const std::byte* out = r.out.data();
  if (!r.in.empty() && before(r.in.data(), out + r.out.size()) &&
      before(out, r.in.data() + r.in.size())) {
    return base::InvalidArgument("a reduction in place: an abort would destroy its input (M4)");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<NcclCommunicator>> NcclCommunicator::Create(NcclOptions options) {
  if (options.api == nullptr) return base::InvalidArgument("a communicator without NCCL");
  if (!options.expired) return base::InvalidArgument("a communicator without a watchdog");
  return std::unique_ptr<NcclCommunicator>(new NcclCommunicator(std::move(options)));
}

NcclCommunicator::NcclCommunicator(NcclOptions options)
    : options_(std::move(options)),
      watchdog_(options_.expired),
      machine_(options_.limits),
      owner_([this] { RunOwner(); }) {}

NcclCommunicator::~NcclCommunicator() {
  {
    runtime::MutexLock lock(mutex_);
    stop_ = true;
    RaiseCurrentFlag("the last communicator of this process did not end in time");
    changed_.NotifyAll();
  }
  owner_.join();
}

absl::StatusOr<UniqueId> NcclCommunicator::Mint(const Attempt& attempt) {
  {
    runtime::MutexLock lock(mutex_);
    // The owner makes no call while nothing lives, so this one meets no other.
    if (busy_ || install_) {
      return base::FailedPrecondition("an id is minted while no communicator lives");
    }
    if (attempt <= minted_) {
      return base::FailedPrecondition(ToString(attempt) + " or a later one has its id already");
    }
    if (attempt.number < 1 || attempt.number > options_.limits.attempts) {
      return base::ResourceExhausted(ToString(attempt) + " is not one of the " +
                                     std::to_string(options_.limits.attempts) +
                                     " attempts of an epoch");
    }
    minted_ = attempt;
  }
  UniqueId id;
  MUSTER_RETURN_IF_ERROR(ToStatus(options_.api->GetUniqueId(&id), "ncclGetUniqueId"));
  runtime::MutexLock lock(mutex_);
  ++rebuilds_.unused_ids;  // until an init with it succeeds
  return id;
}

absl::Status NcclCommunicator::BeginInstall(InstallRequest request) {
  runtime::MutexLock lock(mutex_);
  MUSTER_RETURN_IF_ERROR(lost_);
  if (request.attempt <= current_) {
    return base::InvalidArgument(ToString(request.attempt) + " does not come after " +
                                 ToString(current_));
  }
  if (request.attempt.epoch <= aborted_) {
    return base::Aborted("the epoch of " + ToString(request.attempt) + " was aborted");
  }
  RaiseCurrentFlag("the communicator before " + ToString(request.attempt) + " did not end in time");
  current_ = request.attempt;
  current_flag_ = std::make_shared<comm::AbortFlag>();
  install_ = std::move(request);
  installing_ = true;
  installed_.reset();
  up_ = false;
  interrupted_ = false;
  in_flight_.reset();
  reduced_.reset();
  given_.clear();
  close_ = false;
  changed_.NotifyAll();
  return absl::OkStatus();
}

// False: it is `until`.
bool NcclCommunicator::WaitForChange(base::Time until) {
  if (comm::Now() >= until) return false;
  changed_.WaitUntil(mutex_, until);
  return true;
}

std::optional<absl::Status> NcclCommunicator::PollInstall(base::Duration wait) {
  const base::Time until = comm::Now() + wait;
  runtime::MutexLock lock(mutex_);
  do {
    if (!installing_) return base::FailedPrecondition("no install is in flight");
    if (installed_ || interrupted_) {
      installing_ = false;
      return interrupted_ ? AbortedByCaller() : *std::exchange(installed_, std::nullopt);
    }
  } while (WaitForChange(until));
  return std::nullopt;
}

absl::Status NcclCommunicator::CheckMayReduce() {
  MUSTER_RETURN_IF_ERROR(lost_);
  if (in_flight_) return base::FailedPrecondition("a reduction is in flight");
  if (!up_ || current_flag_->is_set()) return base::Aborted("there is no communicator");
  return absl::OkStatus();
}

absl::Status NcclCommunicator::BeginAllReduce(const comm::Reduction& reduction) {
  const SumVector vector{reduction, 1};
  return BeginGroup({&vector, 1});
}

absl::StatusOr<NcclCommunicator::Group> NcclCommunicator::MakeGroup(
    std::span<const SumVector> vectors) const {
  Group group;
  for (const auto& vector : vectors) {
    MUSTER_RETURN_IF_ERROR(CheckShape(vector.reduction));
    group.bytes += static_cast<std::int64_t>(vector.reduction.in.size());
  }
  group.pieces = MakeBuckets(vectors, options_.buckets);
  group.stream = options_.stream;
  return group;
}

absl::Status NcclCommunicator::BeginGroup(std::span<const SumVector> vectors) {
  MUSTER_ASSIGN_OR_RETURN(Group group, MakeGroup(vectors));
  return BeginWith(std::move(group));
}

absl::Status NcclCommunicator::BeginBroadcast(std::int32_t root, const void* in, void* out,
                                              std::size_t words) {
  if (root < 0) return base::InvalidArgument("a broadcast without a root");
  if (in == out) return base::InvalidArgument("a broadcast in place: an abort could destroy it");
  Group group;
  group.stream = options_.copies.value == nullptr ? options_.stream : options_.copies;
  group.passes = 1;
  if (words > 0) {
    Piece piece;
    piece.type = comm::ElementType::kInt32;
    piece.in = in;
    piece.out = out;
    piece.elements = words;
    piece.root = root;
    group.pieces.push_back(piece);
    group.bytes = static_cast<std::int64_t>(words * ElementBytes(piece.type));
  }
  return BeginWith(std::move(group));
}

absl::Status NcclCommunicator::BeginWith(Group group) {
  runtime::MutexLock lock(mutex_);
  MUSTER_RETURN_IF_ERROR(CheckMayReduce());
  BeginLocked();
  if (group.pieces.empty()) {
    reduced_ = absl::OkStatus();  // nothing to sum, and every member has as little
    return absl::OkStatus();
  }
  return GiveLocked(std::move(group), true);
}

absl::StatusOr<std::uint64_t> NcclCommunicator::BeginReduction(base::Epoch epoch) {
  runtime::MutexLock lock(mutex_);
  MUSTER_RETURN_IF_ERROR(CheckMayReduce());
  if (current_.epoch != epoch) {
    return base::Aborted("the communicator is of epoch " + std::to_string(current_.epoch.value));
  }
  BeginLocked();
  return sequence_;
}

absl::Status NcclCommunicator::GiveGroup(std::uint64_t reduction,
                                         std::span<const SumVector> vectors, Event ready,
                                         bool last) {
  MUSTER_ASSIGN_OR_RETURN(Group group, MakeGroup(vectors));
  if (group.pieces.empty()) return base::InvalidArgument("a group of nothing");
  group.ready = ready;
  runtime::MutexLock lock(mutex_);
  if (in_flight_ != reduction || reduced_ || interrupted_) return AbortedByCaller();
  if (given_all_) return base::FailedPrecondition("the last group of this reduction was given");
  return GiveLocked(std::move(group), last);
}

void NcclCommunicator::BeginLocked() {
  in_flight_ = ++sequence_;
  reduced_.reset();
  given_any_ = given_all_ = false;
}

absl::Status NcclCommunicator::GiveLocked(Group group, bool last) {
  if (given_.size() >= kMostGroups) {
    return base::ResourceExhausted("more than " + std::to_string(kMostGroups) +
                                   " groups of a reduction wait to be launched");
  }
  group.sequence = *in_flight_;
  group.first = !std::exchange(given_any_, true);
  group.last = given_all_ = last;
  given_.push_back(std::move(group));
  changed_.NotifyAll();
  return absl::OkStatus();
}

std::optional<absl::Status> NcclCommunicator::Poll(base::Duration wait) {
  const base::Time until = comm::Now() + wait;
  runtime::MutexLock lock(mutex_);
  do {
    if (!in_flight_) return base::FailedPrecondition("no reduction is in flight");
    if (reduced_ || interrupted_) {
      in_flight_.reset();
      // Also when a sum was committed: who aborts before it was taken gets none.
      return interrupted_ ? AbortedByCaller() : *std::exchange(reduced_, std::nullopt);
    }
  } while (WaitForChange(until));
  return std::nullopt;
}

// The watchdog begins to count here and not when the owner comes round to it: it may be inside a
// call that does not return.
void NcclCommunicator::RaiseCurrentFlag(const std::string& why) {
  if (current_flag_ == nullptr || current_flag_->is_set() || (!busy_ && !install_)) return;
  current_flag_->Set();
  interrupted_ = true;
  if (busy_) watchdog_.Arm(comm::Now() + options_.limits.abort, why);
}

void NcclCommunicator::Abort() {
  runtime::MutexLock lock(mutex_);
  aborted_ = std::max(aborted_, current_.epoch);
  RaiseCurrentFlag("the abort of " + ToString(current_) + " did not end in time");
  changed_.NotifyAll();
}

std::optional<absl::Status> NcclCommunicator::AwaitQuiet(base::Duration wait) {
  const base::Time until = comm::Now() + wait;
  runtime::MutexLock lock(mutex_);
  do {
    if (!lost_.ok()) return lost_;
    if (!busy_ && !install_) return absl::OkStatus();
  } while (WaitForChange(until));
  return std::nullopt;
}

void NcclCommunicator::BeginClose() {
  runtime::MutexLock lock(mutex_);
  close_ = true;
  up_ = false;
  changed_.NotifyAll();
}

std::int64_t NcclCommunicator::bytes_sent() const {
  runtime::MutexLock lock(mutex_);
  return bytes_sent_;
}

Rebuilds NcclCommunicator::rebuilds() const {
  runtime::MutexLock lock(mutex_);
  return rebuilds_;
}

}  // namespace muster::nccl

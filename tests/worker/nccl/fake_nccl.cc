#include "tests/worker/nccl/fake_nccl.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "worker/comm/reduce.h"
#include "worker/nccl/buckets.h"

namespace muster::nccl {
namespace {

template <typename T>
void Add(comm::ReduceOp op, const std::vector<std::byte>& from, void* to, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    T a;
    T b;
    std::memcpy(&a, from.data() + i * sizeof(T), sizeof(T));
    std::memcpy(&b, static_cast<std::byte*>(to) + i * sizeof(T), sizeof(T));
    const T c = op == comm::ReduceOp::kMax ? std::max(a, b) : static_cast<T>(a + b);
    std::memcpy(static_cast<std::byte*>(to) + i * sizeof(T), &c, sizeof(T));
  }
}

void AddPiece(const Piece& piece, const std::vector<std::byte>& from) {
  switch (piece.type) {
    case comm::ElementType::kInt32:
      return Add<std::int32_t>(piece.op, from, piece.out, piece.elements);
    case comm::ElementType::kInt64:
      return Add<std::int64_t>(piece.op, from, piece.out, piece.elements);
    case comm::ElementType::kFloat32:
      return Add<float>(piece.op, from, piece.out, piece.elements);
  }
}

std::size_t Bytes(const Piece& piece) { return piece.elements * ElementBytes(piece.type); }

}  // namespace

bool FakeFabric::Group::all_joined() const {
  return std::count_if(ranks.begin(), ranks.end(),
                       [](const auto& r) { return r.second.joined && !r.second.dead; }) == size;
}

bool FakeFabric::Group::broken_for(std::int32_t rank) const {
  return std::any_of(ranks.begin(), ranks.end(), [&](const auto& r) {
    return r.first != rank && (r.second.dead || r.second.aborted);
  });
}

void FakeFabric::Kill(std::int32_t rank) {
  std::lock_guard lock(mutex_);
  for (auto& [id, group] : groups_) group.ranks[rank].dead = true;
  changed_.notify_all();
}

std::vector<std::string> FakeFabric::breaches() {
  std::lock_guard lock(mutex_);
  return breaches_;
}

int FakeFabric::ids_leaked() {
  std::lock_guard lock(mutex_);
  return static_cast<int>(std::count_if(groups_.begin(), groups_.end(), [](const auto& g) {
    return g.second.size == 0 || !g.second.was_complete;
  }));
}

void FakeNccl::Set(const std::function<void(Faults&)>& change) {
  std::lock_guard lock(fabric_.mutex_);
  change(faults_);
  fabric_.changed_.notify_all();
}

Calls FakeNccl::calls() {
  std::lock_guard lock(fabric_.mutex_);
  return calls_;
}

FakeNccl::Comm* FakeNccl::Use(CommHandle handle, const char* call) {
  auto* comm = static_cast<Comm*>(handle.value);
  if (comm == nullptr) {
    Breach(std::string(call) + " without a communicator");
    return nullptr;
  }
  if (comm->gone) Breach(std::string(call) + " on a communicator that is gone");
  if (comm->owner != std::this_thread::get_id()) {
    Breach(std::string(call) + " by a thread that is not the owner");
  }
  return comm;
}

Result FakeNccl::GetUniqueId(UniqueId* id) {
  std::lock_guard lock(fabric_.mutex_);
  if (faults_.unique_id != Code::kSuccess) return {faults_.unique_id, "no id"};
  ++fabric_.minted_;
  std::memcpy(id->bytes.data(), &fabric_.minted_, sizeof(fabric_.minted_));
  fabric_.groups_[id->bytes];
  return {};
}

Result FakeNccl::InitRankNonBlocking(const InitConfig& config, CommHandle* comm) {
  std::lock_guard lock(fabric_.mutex_);
  ++calls_.inits;
  if (faults_.init_at_once != Code::kSuccess) return {faults_.init_at_once, "at once"};
  auto& group = fabric_.groups_[config.id.bytes];
  group.size = config.size;
  auto& rank = group.ranks[config.rank];
  if (rank.joined) Breach("an id was used twice by one rank");
  rank.joined = true;
  group.was_complete |= group.all_joined();
  comms_.push_back(std::make_unique<Comm>());
  comms_.back()->config = config;
  comms_.back()->owner = std::this_thread::get_id();
  comm->value = comms_.back().get();
  return {Code::kInProgress, ""};
}

Result FakeNccl::AsyncError(CommHandle handle) {
  std::function<void()> hook;
  Result result;
  {
    std::lock_guard lock(fabric_.mutex_);
    hook = faults_.on_async;
    Comm* comm = Use(handle, "AsyncError");
    if (comm == nullptr) return {Code::kInvalidArgument, ""};
    auto& group = GroupOf(*comm);
    if (group.broken_for(comm->config.rank) && faults_.notices_death) {
      result = {Code::kRemoteError, "connection closed"};
    } else if (!comm->up && !(comm->up = !faults_.hang_init && group.all_joined())) {
      result = {Code::kInProgress, ""};
    } else if (!comm->enqueued) {
      // Takes a few polls, as a thread of NCCL's does.
      comm->enqueued = !faults_.hang_enqueue && ++comm->polls > 2;
      if (!comm->enqueued) result = {Code::kInProgress, ""};
    }
    Run(*comm);
  }
  if (hook) hook();
  return result;
}

Result FakeNccl::GroupStart() {
  std::lock_guard lock(fabric_.mutex_);
  if (depth_++ != 0) Breach("a group within a group");
  open_pieces_.clear();
  open_ = nullptr;
  return {};
}

Result FakeNccl::AllReduce(CommHandle handle, Stream, const Piece& piece) {
  std::lock_guard lock(fabric_.mutex_);
  if (piece.root != Piece::kNoRoot) Breach("an all-reduce with a root");
  return Open(handle, piece, "an all-reduce");
}

Result FakeNccl::Broadcast(CommHandle handle, Stream, const Piece& piece) {
  std::lock_guard lock(fabric_.mutex_);
  Comm* comm = Use(handle, "Broadcast");
  const bool is_root = comm != nullptr && piece.root == comm->config.rank;
  if (comm != nullptr && (piece.root < 0 || piece.root >= comm->config.size)) {
    Breach("a broadcast from a rank that is none");
  }
  if (is_root && piece.in == nullptr) Breach("a root that has nothing to broadcast");
  return Open(handle, piece, "a broadcast");
}

Result FakeNccl::Open(CommHandle handle, const Piece& piece, const char* call) {
  if (depth_ != 1) Breach(std::string(call) + " outside a group");
  if (piece.in == piece.out) Breach(std::string(call) + " in place");
  open_ = Use(handle, call);
  if (open_ != nullptr && !open_->enqueued) {
    Breach(std::string(call) + " while the group before it is not enqueued");
  }
  open_pieces_.push_back(piece);
  ++calls_.collectives;
  return {};
}

Result FakeNccl::GroupEnd() {
  std::unique_lock lock(fabric_.mutex_);
  if (--depth_ != 0) Breach("the end of a group that was not begun");
  ++calls_.groups;
  fabric_.changed_.notify_all();
  fabric_.changed_.wait(lock, [&] { return !faults_.block_group_end; });
  if (open_ == nullptr) return {};
  Comm& comm = *open_;
  comm.launched.push_back({open_pieces_, std::exchange(waits_for_, nullptr), false});
  comm.enqueued = false;
  comm.polls = 0;
  return {Code::kInProgress, ""};
}

Result FakeNccl::StreamWait(Stream, Event event) {
  std::lock_guard lock(fabric_.mutex_);
  ++calls_.waits;
  if (open_ != nullptr && !open_->gone && !open_->enqueued) {
    Breach("something was put on the stream before the group on it was enqueued");
  }
  waits_for_ = static_cast<const std::atomic<bool>*>(event.value);
  return {};
}

// One after the other, as on a stream: each reads its input when it is there, and is done when all
// ranks have brought theirs.
void FakeNccl::Run(Comm& comm) {
  if (faults_.hang_collective || comm.gone) return;
  auto& group = GroupOf(comm);
  auto& given = group.ranks[comm.config.rank].given;
  for (std::size_t i = 0; i < comm.launched.size(); ++i) {
    Comm::Launched& launched = comm.launched[i];
    if (launched.done) continue;
    if (i + 1 == comm.launched.size() && !comm.enqueued) return;
    if (given.size() == i) {
      if (launched.ready != nullptr && !launched.ready->load()) return;
      std::vector<std::vector<std::byte>> inputs;
      for (const Piece& piece : launched.pieces) {
        const auto* in = static_cast<const std::byte*>(piece.in);
        // Of a broadcast nobody reads what others than its root have.
        const bool read = piece.root == Piece::kNoRoot || piece.root == comm.config.rank;
        inputs.emplace_back(in, in + (read ? Bytes(piece) : 0));
      }
      given.push_back(std::move(inputs));
    }
    for (std::int32_t r = 0; r < group.size; ++r) {
      if (group.ranks[r].dead || group.ranks[r].given.size() <= i) return;
    }
    Sum(launched, group, i);
    launched.done = true;
  }
}

Result FakeNccl::RecordEvent(Event, Stream) {
  std::lock_guard lock(fabric_.mutex_);
  recorded_ = open_;
  if (waits_for_ != nullptr) Breach("an event was recorded behind a wait that no group followed");
  if (recorded_ == nullptr || !recorded_->enqueued) {
    Breach("an event was recorded before its group was enqueued");
  }
  return {};
}

void FakeNccl::Sum(const Comm::Launched& launched, FakeFabric::Group& group, std::size_t index) {
  for (std::size_t p = 0; p < launched.pieces.size(); ++p) {
    const Piece& piece = launched.pieces[p];
    const std::int32_t first = piece.root == Piece::kNoRoot ? 0 : piece.root;
    std::memcpy(piece.out, group.ranks[first].given[index][p].data(), Bytes(piece));
    if (piece.root != Piece::kNoRoot) continue;
    for (std::int32_t r = 1; r < group.size; ++r) AddPiece(piece, group.ranks[r].given[index][p]);
  }
}

EventState FakeNccl::QueryEvent(Event) {
  std::lock_guard lock(fabric_.mutex_);
  if (recorded_ == nullptr) return EventState::kFailed;
  // The kernels of an aborted one "completed".
  Run(*recorded_);
  return recorded_->done() || recorded_->gone ? EventState::kDone : EventState::kPending;
}

Result FakeNccl::Abort(CommHandle handle) {
  std::unique_lock lock(fabric_.mutex_);
  ++calls_.aborts;
  Comm* comm = Use(handle, "Abort");
  if (comm == nullptr) return {Code::kInvalidArgument, ""};
  comm->gone = true;
  auto& group = GroupOf(*comm);
  group.ranks[comm->config.rank].aborted = true;
  fabric_.changed_.notify_all();
  for (const Comm::Launched& launched : comm->launched) {
    for (const Piece& piece : launched.pieces) {
      if (!launched.done) std::memset(piece.out, 0xab, Bytes(piece));
    }
  }
  const bool peers_ended = fabric_.changed_.wait_for(lock, std::chrono::seconds(20), [&] {
    return !faults_.abort_waits_for_peers ||
           std::all_of(group.ranks.begin(), group.ranks.end(),
                       [](const auto& r) { return r.second.aborted || r.second.dead; });
  });
  if (!peers_ended) Breach("an abort waited in vain for its peers");
  const auto until = std::chrono::steady_clock::now() + faults_.abort_takes;
  fabric_.changed_.wait_until(lock, until,
                              [&] { return std::chrono::steady_clock::now() >= until; });
  return {};
}

Result FakeNccl::Finalize(CommHandle handle) {
  std::lock_guard lock(fabric_.mutex_);
  Use(handle, "Finalize");
  if (faults_.finalize_at_once != Code::kSuccess) return {faults_.finalize_at_once, "at once"};
  return {Code::kInProgress, ""};
}

Result FakeNccl::Destroy(CommHandle handle) {
  std::lock_guard lock(fabric_.mutex_);
  ++calls_.destroys;
  if (Comm* comm = Use(handle, "Destroy")) comm->gone = true;
  return {};
}

Result FakeNccl::DeviceSynchronise() {
  std::lock_guard lock(fabric_.mutex_);
  return {faults_.synchronise, ""};
}

Result FakeNccl::LastDeviceError() {
  std::lock_guard lock(fabric_.mutex_);
  if (faults_.broken_device != Code::kSuccess) return {faults_.broken_device, ""};
  return {std::exchange(faults_.stale_error, Code::kSuccess), ""};
}

}  // namespace muster::nccl

// NCCL's C functions over TCP on loopback, for members that are processes of one machine and whose
// device memory is their own: what tests of a whole job load by MUSTER_NCCL_LIB where there is no
// GPU. It adds real numbers, fails as NCCL fails, and ends a process that breaks NCCL's rules.
//
// Like NCCL: an init, a group's end and a finalize answer ncclInProgress and go on in a thread; an
// id has a root in the process that made it, which lives until all ranks came (here for ten minutes
// at most); a dead or aborted peer is ncclRemoteError to its neighbours while they wait for it, and
// to the others nothing; an abort leaves garbage in the outputs of collectives that were not over.
//
// Unlike NCCL:
//   - Streams are not looked at. A collective is enqueued (ncclCommGetAsyncError: ncclSuccess) when
//     it is done, and not before: the event behind it has nothing to wait for.
//   - Members that disagree on sizes, types or operations: ncclInvalidUsage to the rank behind the
//     one that it disagrees with; the others wait until it is aborted.
//   - An abort takes milliseconds, and waits for no peer.
//   - Loopback alone, so no second machine and no second pod.
//
// Breaches, which end the process with code 99 and a sentence: a communicator used after its end, by
// two threads at once, or for a second operation while one is in progress; a blocking config; a
// group's end without its begin; an output that meets its input; a destroy before a finalize was
// over; one rank's second init with an id.
//
// MUSTER_STANDIN_NCCL_HANG_INIT, _HANG_COLLECTIVE, _HANG_ABORT: "N" or "N@RANK" makes the Nth one of
// this process hang, _BREAK_COLLECTIVE ends it with an error; _LEAK: descriptors that each init leaves
// open (rules.h).
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/worker/nccl/standin/comm.h"
#include "tests/worker/nccl/standin/device_bytes.h"
#include "tests/worker/nccl/standin/nccl.h"
#include "tests/worker/nccl/standin/rules.h"

#define MUSTER_EXPORTED __attribute__((visibility("default")))

namespace muster::standin {
namespace {

constexpr int kVersion = 22809;
constexpr unsigned kConfigMagic = 0xcafebeef;

// What a caller's pointer points to. Kept after the communicator's end, so that a use is seen.
struct Handle {
  std::atomic<bool> used{false};
  std::unique_ptr<Comm> comm;
  const char* ended = nullptr;  // the call that ended it
};

struct Known {
  std::mutex mutex;
  std::set<Handle*> handles;
  std::set<std::pair<Key, int>> seats;  // that were taken, by key and rank
};
Known& TheKnown() {
  static Known& known = *new Known;  // never destroyed: see TheWarning
  return known;
}

// A communicator for the length of one call.
class Use {
 public:
  Use(void* comm, const char* call) : handle_(static_cast<Handle*>(comm)) {
    {
      const std::lock_guard lock(TheKnown().mutex);
      if (TheKnown().handles.count(handle_) == 0) {
        EndForBreach(std::string(call) + " on what is no communicator");
      }
    }
    if (handle_->used.exchange(true)) {
      EndForBreach(std::string(call) + " while another thread uses this communicator");
    }
    if (handle_->ended != nullptr) {
      EndForBreach(std::string(call) + " after " + handle_->ended);
    }
  }
  ~Use() { handle_->used = false; }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

  Comm& operator*() const { return *handle_->comm; }
  Comm* operator->() const { return handle_->comm.get(); }
  void End(const char* call) {
    handle_->comm.reset();
    handle_->ended = call;
  }
  // An operation may begin: kSuccess, or the error that there was.
  int Ready(const char* call) const {
    const int result = handle_->comm->result();
    if (result == kInProgress) {
      EndForBreach(std::string(call) + " while an operation of this communicator is in progress");
    }
    if (handle_->comm->finalised()) EndForBreach(std::string(call) + " after ncclCommFinalize");
    return result;
  }

 private:
  Handle* const handle_;
};

// Groups belong to threads, as in NCCL.
struct Group {
  int depth = 0;
  std::map<void*, std::vector<Collective>> members;
};
Group& ThisGroup() {
  thread_local Group group;
  return group;
}

bool Meet(const Collective& c, std::size_t bytes) {
  const std::less<const char*> before;
  const char* const in = static_cast<const char*>(c.in);
  const char* const out = static_cast<const char*>(c.out);
  return bytes > 0 && before(in, out + bytes) && before(out, in + bytes);
}

int Refuse(int result, const std::string& warning) {
  Remember(warning);
  return result;
}

int Init(void** comm, const Seat& seat) {
  auto& known = TheKnown();
  const std::lock_guard lock(known.mutex);
  if (!known.seats.emplace(seat.place.key, seat.rank).second) {
    EndForBreach("ncclCommInitRankConfig: rank " + std::to_string(seat.rank) +
                 " has used this id before");
  }
  auto* const handle = new Handle;
  known.handles.insert(handle);
  handle->comm = std::make_unique<Comm>(seat);
  *comm = handle;
  return kInProgress;
}

int EndGroup() {
  Group& group = ThisGroup();
  if (group.depth == 0) EndForBreach("ncclGroupEnd without ncclGroupStart");
  if (--group.depth > 0) return kSuccess;
  auto members = std::exchange(group.members, {});
  for (auto& [comm, collectives] : members) {
    const Use use(comm, "ncclGroupEnd");
    const int ready = use.Ready("ncclGroupEnd");
    if (ready != kSuccess) return ready;
    use->Launch(std::move(collectives));
  }
  return members.empty() ? kSuccess : kInProgress;
}

int Enqueue(void* comm, const Collective& collective, const std::string& call) {
  {
    const Use use(comm, call.c_str());
    const int ready = use.Ready(call.c_str());
    if (ready != kSuccess) return ready;
  }
  // NCCL itself allows it; a job that is to go on after an abort must not (M4).
  if (Meet(collective, collective.count * BytesOf(collective.type))) {
    EndForBreach(call + ": the output meets the input");
  }
  Group& group = ThisGroup();
  group.members[comm].push_back(collective);
  if (group.depth > 0) return kSuccess;
  ++group.depth;  // a group of its own
  return EndGroup();
}

}  // namespace
}  // namespace muster::standin

using namespace muster::standin;  // NOLINT: what follows is the interface, which has no namespace

extern "C" {

MUSTER_EXPORTED int ncclGetVersion(int* version) {
  *version = kVersion;
  return kSuccess;
}

MUSTER_EXPORTED int ncclGetUniqueId(ncclUniqueId* id) {
  const Outcome made = MakeId(id);
  return made.result == kSuccess ? kSuccess : Refuse(made.result, made.warning);
}

MUSTER_EXPORTED int ncclCommInitRankConfig(void** comm, int ranks, ncclUniqueId id, int rank,
                                           const ncclConfig* config) {
  *comm = nullptr;
  Seat seat;
  seat.rank = rank;
  seat.size = ranks;
  if (config == nullptr || config->magic != kConfigMagic || config->size < sizeof(ncclConfig)) {
    return Refuse(kInvalidArgument, "a config that was not initialised");
  }
  if (ranks < 1 || rank < 0 || rank >= ranks) {
    return Refuse(kInvalidArgument,
                  "rank " + std::to_string(rank) + " of " + std::to_string(ranks));
  }
  if (!ReadId(id, &seat.place)) return Refuse(kInvalidArgument, "an id that no stand-in made");
  if (config->blocking != 0) EndForBreach("ncclCommInitRankConfig with a blocking config");
  if (ThisGroup().depth != 0) EndForBreach("ncclCommInitRankConfig within a group");
  return Init(comm, seat);
}

MUSTER_EXPORTED int ncclCommGetAsyncError(void* comm, int* error) {
  *error = Use(comm, "ncclCommGetAsyncError")->result();
  return kSuccess;
}

MUSTER_EXPORTED int ncclGroupStart() {
  ++ThisGroup().depth;
  return kSuccess;
}

MUSTER_EXPORTED int ncclGroupEnd() { return EndGroup(); }

MUSTER_EXPORTED int ncclAllReduce(const void* in, void* out, std::size_t count, int type, int op,
                                  void* comm, void*) {
  if (BytesOf(type) == 0 || (op != kSum && op != kMax)) {
    return Refuse(kInvalidArgument, "type " + std::to_string(type) + " and operation " +
                                        std::to_string(op) + " are not both known to the stand-in");
  }
  if (count > 0 && (in == nullptr || out == nullptr)) return Refuse(kInvalidArgument, "no buffer");
  return Enqueue(comm, {in, out, count, type, op, kNoRoot}, "ncclAllReduce");
}

MUSTER_EXPORTED int ncclBroadcast(const void* in, void* out, std::size_t count, int type, int root,
                                  void* comm, void*) {
  int rank = 0, size = 0;
  {
    const Use use(comm, "ncclBroadcast");
    rank = use->rank();
    size = use->size();
  }
  if (type != kInt32 || root < 0 || root >= size) {
    return Refuse(kInvalidArgument, "a broadcast of type " + std::to_string(type) + " from rank " +
                                        std::to_string(root) + " is not known to the stand-in");
  }
  if (count > 0 && (out == nullptr || (rank == root && in == nullptr))) {
    return Refuse(kInvalidArgument, "no buffer");
  }
  return Enqueue(comm, {in, out, count, type, kSum, root}, "ncclBroadcast");
}

MUSTER_EXPORTED int ncclCommAbort(void* comm) {
  Use use(comm, "ncclCommAbort");
  use->Abort();
  use.End("ncclCommAbort");
  return kSuccess;
}

MUSTER_EXPORTED int ncclCommFinalize(void* comm) {
  const Use use(comm, "ncclCommFinalize");
  const int ready = use.Ready("ncclCommFinalize");
  if (ready != kSuccess) return ready;
  use->Finalize();
  return kInProgress;
}

MUSTER_EXPORTED int ncclCommDestroy(void* comm) {
  Use use(comm, "ncclCommDestroy");
  if (!use->finalised() || use->result() != kSuccess) {
    EndForBreach("ncclCommDestroy before ncclCommFinalize succeeded");
  }
  use.End("ncclCommDestroy");
  return kSuccess;
}

MUSTER_EXPORTED const char* ncclGetErrorString(int result) {
  switch (result) {
    case kSuccess:
      return "no error";
    case kSystemError:
      return "a system call failed";
    case kInvalidArgument:
      return "an argument is not allowed";
    case kInvalidUsage:
      return "a use is not allowed";
    case kRemoteError:
      return "a peer is gone";
    case kInProgress:
      return "in progress";
    default:
      return "an unknown result";
  }
}

MUSTER_EXPORTED const char* ncclGetLastError(void*) {
  thread_local std::string text;
  text = LastWarning();
  return text.c_str();
}

}  // extern "C"

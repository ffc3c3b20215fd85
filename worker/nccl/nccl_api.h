// What Muster asks of NCCL and of CUDA, as a seam: one implementation loads libnccl.so.2, one is
// the fake of the tests.
//
// Thread rule: all calls on one CommHandle by the thread that made it, its owner, and none after
// Abort or Destroy. NCCL neither locks a communicator nor checks this; a breach is a use of freed
// memory. What is said here of NCCL's behaviour was read in version 2.28.9, not measured.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "operator/base/status.h"
#include "worker/comm/communicator.h"

namespace muster::nccl {

// Names a rendezvous: the address of a socket that its maker listens on, and a random number.
struct UniqueId {
  std::array<std::byte, 128> bytes{};
  friend bool operator==(const UniqueId&, const UniqueId&) = default;
};

// Opaque: each implementation knows what its own point to.
struct CommHandle {
  void* value = nullptr;
  explicit operator bool() const { return value != nullptr; }
  friend bool operator==(CommHandle, CommHandle) = default;
};
struct Stream {
  void* value = nullptr;
};
struct Event {
  void* value = nullptr;
  explicit operator bool() const { return value != nullptr; }
};

enum class Code {
  kSuccess,
  kInProgress,
  kRemoteError,      // a peer's process is gone, as its neighbour on a socket sees it
  kSystemError,      // a system call of ours failed, a refused connection for one
  kCudaError,        // the device or its context is of no use any more
  kInternalError,    // a bug of NCCL's, or memory that was trodden on
  kInvalidArgument,  // a bug of ours
  kInvalidUsage,     // a bug of ours, or members that disagree
  kTimeout,          // a code that versions after 2.28 have
  kUnknown,          // a code that this file does not know
};
const char* Name(Code code);

// `detail` is for people; it is empty on success.
struct Result {
  Code code = Code::kSuccess;
  std::string detail;
  bool ok() const { return code == Code::kSuccess; }
};

// What a result is for who waits for a sum. Unavailable: another attempt may fare better (NCCL does
// not say which peer it was). Internal: a bug, or a device that is lost.
absl::Status ToStatus(const Result& result, const std::string& call);

enum class EventState { kPending, kDone, kFailed };

struct InitConfig {
  UniqueId id;
  std::int32_t rank = 0;
  std::int32_t size = 1;
};

// One collective of a group: a reduction, or with a root a broadcast of what that rank has.
// Addresses on the device: nothing here reads what they point to.
struct Piece {
  static constexpr std::int32_t kNoRoot = -1;

  comm::ReduceOp op = comm::ReduceOp::kSum;
  comm::ElementType type = comm::ElementType::kInt64;
  const void* in = nullptr;
  void* out = nullptr;  // never `in`: an abort leaves garbage in it (M4)
  std::size_t elements = 0;
  // A broadcast: `op` is not looked at, and `in` at the root alone.
  std::int32_t root = kNoRoot;
};

class NcclApi {
 public:
  virtual ~NcclApi() = default;

  // Opens a listening socket and a thread in this process, which live until every rank has called:
  // an id whose init never completes leaks both.
  virtual Result GetUniqueId(UniqueId* id) = 0;

  // Returns kInProgress: a thread of NCCL's goes on, and AsyncError tells how. *comm is set at once,
  // so that an init that hangs can be aborted; after an error it is null and there is nothing to
  // abort. Waits for the other ranks without a deadline.
  virtual Result InitRankNonBlocking(const InitConfig& config, CommHandle* comm) = 0;

  // kInProgress while an init, a group or a finalize is on its way. kSuccess after a group says that
  // its kernels are enqueued, not that they ran. A dead peer is told only to its neighbours on
  // sockets or InfiniBand; over NVLink or shared memory this stays kSuccess for ever.
  virtual Result AsyncError(CommHandle comm) = 0;

  virtual Result GroupStart() = 0;
  // kInProgress: a new thread launches what the group holds. Until AsyncError says kSuccess nothing
  // else may be put on the stream, an event neither.
  virtual Result GroupEnd() = 0;
  // Out of place. Integers wrap; their sums are the same bits in any order.
  virtual Result AllReduce(CommHandle comm, Stream stream, const Piece& piece) = 0;
  // Out of place at the root too, so that an abort cannot touch what it sends.
  virtual Result Broadcast(CommHandle comm, Stream stream, const Piece& piece) = 0;

  // Blocks for 0.5 s and more: joins NCCL's threads, waits for its streams and, on one host, until
  // each local peer closes its connection or dies. The kernels in flight *finish*, with garbage in
  // their output; their events become kDone.
  virtual Result Abort(CommHandle comm) = 0;

  // Clean end, all members alive. kInProgress, then AsyncError; Destroy after that alone.
  virtual Result Finalize(CommHandle comm) = 0;
  virtual Result Destroy(CommHandle comm) = 0;

  // What is put on the stream from now on waits until the event is done, as it was last recorded.
  virtual Result StreamWait(Stream stream, Event event) = 0;
  virtual Result RecordEvent(Event event, Stream stream) = 0;
  virtual EventState QueryEvent(Event event) = 0;
  virtual Result DeviceSynchronise() = 0;  // blocks until nothing runs on the device
  // Of any call of this thread, however long ago, and forgets it, unless the context is broken.
  virtual Result LastDeviceError() = 0;
};

}  // namespace muster::nccl

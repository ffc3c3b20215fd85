// NCCL in one process, for tests: groups of ranks that really add, and that fail as the library does.
//
// A FakeFabric is the network; each rank has a FakeNccl on it, used by its communicator's threads.
// Breaches of NCCL's rules (a handle after its abort or on a foreign thread, an event recorded
// before its group is enqueued, an id used twice by a rank) are collected, not fatal.
//
// The event that a stream waits for is a std::atomic<bool>: what is behind it on the stream, the
// reading of inputs too, happens when it is true.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "worker/nccl/nccl_api.h"

namespace muster::nccl {

struct Faults {
  Code unique_id = Code::kSuccess;
  bool hang_init = false;              // AsyncError says "in progress" for ever
  Code init_at_once = Code::kSuccess;  // an error: InitRankNonBlocking makes nothing
  bool hang_enqueue = false;           // a group's end is never enqueued
  bool block_group_end = false;        // GroupEnd does not return until released
  bool hang_collective = false;        // the kernels spin
  bool notices_death = true;  // AsyncError tells of a dead or departed peer (NVLink: it does not)
  bool abort_waits_for_peers = false;  // until each has aborted or died, as on one host
  std::chrono::milliseconds abort_takes{0};
  Code synchronise = Code::kSuccess;
  Code stale_error = Code::kSuccess;    // LastDeviceError tells it once
  Code broken_device = Code::kSuccess;  // ... and this one each time
  Code finalize_at_once = Code::kSuccess;
  std::function<void()> on_async;  // called in AsyncError, with no lock held
};

struct Calls {
  int inits = 0, groups = 0, collectives = 0, aborts = 0, destroys = 0, waits = 0;
};

class FakeFabric {
 public:
  void Kill(std::int32_t rank);  // in all groups there are
  std::vector<std::string> breaches();
  int ids_leaked();  // minted, and never joined by all ranks

 private:
  friend class FakeNccl;
  struct Rank {
    bool joined = false, aborted = false, dead = false;
    // What each group of it gave, copied: a rank that is done may change its buffers.
    std::vector<std::vector<std::vector<std::byte>>> given;
  };
  struct Group {
    std::int32_t size = 0;
    bool was_complete = false;  // all ranks had joined at one time
    std::map<std::int32_t, Rank> ranks;
    bool all_joined() const;
    bool broken_for(std::int32_t rank) const;  // somebody else is dead or gone
  };
  using Key = std::array<std::byte, 128>;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t minted_ = 0;
  std::map<Key, Group> groups_;
  std::vector<std::string> breaches_;
};

class FakeNccl final : public NcclApi {
 public:
  explicit FakeNccl(FakeFabric& fabric) : fabric_(fabric) {}

  void Set(const std::function<void(Faults&)>& change);
  Calls calls();

  Result GetUniqueId(UniqueId* id) override;
  Result InitRankNonBlocking(const InitConfig& config, CommHandle* comm) override;
  Result AsyncError(CommHandle comm) override;
  Result GroupStart() override;
  Result GroupEnd() override;
  Result AllReduce(CommHandle comm, Stream stream, const Piece& piece) override;
  Result Broadcast(CommHandle comm, Stream stream, const Piece& piece) override;
  Result Abort(CommHandle comm) override;
  Result Finalize(CommHandle comm) override;
  Result Destroy(CommHandle comm) override;
  Result StreamWait(Stream stream, Event event) override;
  Result RecordEvent(Event event, Stream stream) override;
  EventState QueryEvent(Event event) override;
  Result DeviceSynchronise() override;
  Result LastDeviceError() override;

 private:
  struct Comm {
    InitConfig config;
    std::thread::id owner;
    bool up = false;
    bool gone = false;
    bool enqueued = true;  // of the last group
    int polls = 0;         // of the group that is being enqueued
    struct Launched {
      std::vector<Piece> pieces;
      const std::atomic<bool>* ready = nullptr;
      bool done = false;
    };
    std::vector<Launched> launched;
    bool done() const { return launched.empty() || launched.back().done; }
  };
  Comm* Use(CommHandle handle, const char* call);
  void Breach(const std::string& what) { fabric_.breaches_.push_back(what); }
  FakeFabric::Group& GroupOf(const Comm& comm) { return fabric_.groups_[comm.config.id.bytes]; }
  Result Open(CommHandle handle, const Piece& piece, const char* call);
  // The kernels go on as far as they can.
  void Run(Comm& comm);
  static void Sum(const Comm::Launched& launched, FakeFabric::Group& group, std::size_t index);

  FakeFabric& fabric_;  // its mutex guards everything here
  Faults faults_;
  Calls calls_;
  std::vector<std::unique_ptr<Comm>> comms_;  // kept, so that a use after the end is seen
  Comm* open_ = nullptr;                      // of the group that is open
  std::vector<Piece> open_pieces_;
  const std::atomic<bool>* waits_for_ = nullptr;  // what is put on the stream next
  int depth_ = 0;
  Comm* recorded_ = nullptr;
};

}  // namespace muster::nccl

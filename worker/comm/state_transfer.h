// State transfer: a joiner pulls the state in shards from several members at once (M6).
//
// StateServer answers from memory that the caller promises not to change between Serve and
// StopServing. FetchState writes into regions that are void until it returned OK; every shard
// carries a checksum that is recomputed on arrival, and all sources must tell the same step,
// digest, header and sizes. A source that fails is named, and its shards are taken over by the
// others.
//
// Thread rule: every method of StateServer from any thread. FetchState blocks its caller; its abort
// flag is set from any.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "operator/base/ids.h"
#include "operator/base/status.h"
#include "operator/base/time.h"
#include "worker/comm/listener.h"
#include "worker/comm/remote_regions.h"
#include "worker/comm/socket.h"

namespace muster::comm {

struct ServedState {
  base::Epoch epoch;  // joiners of this epoch may read
  base::Step step;
  std::uint64_t digest = 0;
  std::string header;  // opaque, at most kMaxHeaderBytes
  // Opaque as well, at most kMaxHeaderBytes: what a receiver should know and what is no part of the state,
  // so that sources may differ in it.
  std::string beside;
  std::vector<std::span<const std::byte>> regions;
  // In the place of `regions`, which are then not read. The same promise holds.
  std::shared_ptr<const RemoteRegions> remote = nullptr;
};

inline constexpr std::size_t kMaxHeaderBytes = std::size_t{16} << 20;
inline constexpr std::size_t kMaxShardBytes = std::size_t{64} << 20;

struct StateServerOptions {
  DataListener* listener = nullptr;  // outlives the server
  // How long a request for an epoch that is not served yet is kept waiting: the joiner of a
  // voluntary change asks before the sources have switched (M5).
  base::Duration wait_time = std::chrono::seconds(30);
};

class StateServer {
 public:
  static constexpr std::size_t kMaxReaders =
      64;  // sockets at one time; more are closed, oldest stay

  explicit StateServer(StateServerOptions options);
  ~StateServer();
  StateServer(const StateServer&) = delete;
  StateServer& operator=(const StateServer&) = delete;

  // Replaces what was served before.
  void Serve(ServedState state);
  // Once this returned no byte of the regions is read any more. Readers in progress are closed.
  void StopServing();
  std::int64_t bytes_served() const;
  // Test hook: flips one bit of the n-th shard served from now on (1: the next), after its
  // checksum.
  void CorruptShardForTest(int n);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct StateSource {
  base::MemberId member;
  std::string address;
};

struct FetchOptions {
  // Gives TLS where there is any, and counts sources that are not believed; null: plain TCP.
  DataListener* listener = nullptr;
  std::string job_uid;
  std::string token;
  base::Epoch epoch;
  base::MemberId member;  // who asks
  std::vector<StateSource> sources;
  std::vector<std::span<std::byte>> regions;
  std::shared_ptr<const RemoteRegions> remote = nullptr;  // in the place of `regions`
  base::Time deadline;
  // M5: the sources switch to this epoch at the end of their step, however long that is. One that
  // says that it does not serve it is asked again until the deadline.
  bool early = false;
  std::size_t shard_bytes = std::size_t{4} << 20;  // at most kMaxShardBytes
  std::shared_ptr<AbortFlag> abort;                // made by FetchState when null
  // Counts up with every byte that arrives, from the sources' threads; null: nobody wants to know.
  std::atomic<std::uint64_t>* progress = nullptr;
};

struct FetchedState {
  base::Step step;
  std::uint64_t digest = 0;
  std::string header;
  std::string beside;  // of the source that was reached first
  std::int64_t bytes = 0;
  double seconds = 0;
};

struct FetchResult {
  absl::Status status;  // OK: `state` is whole. Aborted, DeadlineExceeded, Unavailable, DataLoss
  FetchedState state;
  std::vector<base::MemberId>
      failed;  // sources that broke or disagreed, also when the rest sufficed
  std::vector<base::MemberId> corrupt;  // the part of `failed` whose checksums were wrong
};

FetchResult FetchState(const FetchOptions& options);

}  // namespace muster::comm

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <list>
#include <optional>
#include <thread>
#include <utility>

#include "operator/base/check.h"
#include "operator/runtime/mutex.h"
#include "worker/comm/shard.h"
#include "worker/comm/state_transfer.h"

namespace muster::comm {
namespace {

// A reader that takes nothing for this long is closed.
constexpr base::Duration kSendTime = std::chrono::seconds(10);

// What is served, until it is withdrawn: the flag wakes whoever is sending it.
struct Served {
  ServedState state;
  std::vector<std::size_t> sizes;
  AbortFlag withdrawn;
};

std::vector<std::size_t> SizesOf(const ServedState& state) {
  if (state.remote != nullptr) return state.remote->Sizes();
  std::vector<std::size_t> sizes;
  for (const auto& region : state.regions) sizes.push_back(region.size());
  return sizes;
}

// One reader's way to what is served.
struct Reading {
  std::shared_ptr<Served> served;
  std::unique_ptr<RemoteRegions::Window> window;  // null: the regions are read where they are

  std::span<const std::byte> Shard(const ShardRequest& request) {
    if (window != nullptr) return window->Read(request.region, request.offset, request.length);
    return served->state.regions[request.region].subspan(request.offset, request.length);
  }
};

}  // namespace

struct StateServer::State {
  struct Reader {
    std::thread thread;
    std::atomic<bool> done{false};
  };

  StateServerOptions options;
  AbortFlag stop;
  std::atomic<std::int64_t> bytes{0};
  std::atomic<int> corrupt_in{0};

  runtime::Mutex mutex;
  runtime::Condition changed;  // served or leases
  std::shared_ptr<Served> served MUSTER_GUARDED_BY(mutex);
  int leases MUSTER_GUARDED_BY(mutex) = 0;  // readers that may touch the regions now
  std::list<Reader> readers MUSTER_GUARDED_BY(mutex);

  void Accept(Channel channel, const Greeting& greeting);
  void Read(Channel channel, base::Epoch epoch);
  std::shared_ptr<Served> Await(base::Epoch epoch);
  absl::Status Answer(Channel& channel, const ShardRequest& request, Reading& reading);
  absl::Status AnswerShard(Channel& channel, const ShardRequest& request, Reading& reading);
  void Withdraw();
};

StateServer::StateServer(StateServerOptions options) : state_(std::make_unique<State>()) {
  state_->options = options;
  options.listener->RegisterKind(
      Kind::kState,
      [s = state_.get()](Channel channel, const Greeting& g) { s->Accept(std::move(channel), g); });
}

StateServer::~StateServer() {
  state_->options.listener->UnregisterKind(Kind::kState);
  state_->Withdraw();
  std::list<State::Reader> readers;
  {
    runtime::MutexLock lock(state_->mutex);
    state_->stop.Set();
    state_->changed.NotifyAll();
    readers.swap(state_->readers);
  }
  for (State::Reader& reader : readers) reader.thread.join();
}

void StateServer::Serve(ServedState served) {
  MUSTER_CHECK(std::max(served.header.size(), served.beside.size()) <= kMaxHeaderBytes,
               "the state header, or what stands beside it, is larger than 16 MiB");
  auto next = std::make_shared<Served>();
  next->state = std::move(served);
  next->sizes = SizesOf(next->state);
  state_->Withdraw();
  runtime::MutexLock lock(state_->mutex);
  state_->served = std::move(next);
  state_->changed.NotifyAll();
}

void StateServer::StopServing() { state_->Withdraw(); }
std::int64_t StateServer::bytes_served() const { return state_->bytes.load(); }
void StateServer::CorruptShardForTest(int n) { state_->corrupt_in.store(n); }

// Leases end soon: every send waits on `withdrawn` too, and a checksum covers one shard. They are
// waited for also when another thread withdrew a moment ago: its caller and ours are both about to
// write.
void StateServer::State::Withdraw() {
  runtime::MutexLock lock(mutex);
  if (served != nullptr) served->withdrawn.Set();
  served.reset();
  while (leases > 0) changed.Wait(mutex);
}

void StateServer::State::Accept(Channel channel, const Greeting& greeting) {
  runtime::MutexLock lock(mutex);
  for (auto it = readers.begin(); it != readers.end();) {
    if (it->done.load()) {
      it->thread.join();
      it = readers.erase(it);
    } else {
      ++it;
    }
  }
  if (readers.size() >= kMaxReaders || stop.is_set()) return;
  AllowUnread(channel.get());  // kSendTime bounds it
  Reader& reader = readers.emplace_back();
  reader.thread =
      std::thread([this, &reader, epoch = greeting.epoch, held = std::move(channel)]() mutable {
        Read(std::move(held), epoch);
        reader.done.store(true);
      });
}

// The state of `epoch`, waiting for it as long as the options say.
std::shared_ptr<Served> StateServer::State::Await(base::Epoch epoch) {
  const base::Time until = Now() + options.wait_time;
  runtime::MutexLock lock(mutex);
  while (!stop.is_set()) {
    if (served != nullptr && served->state.epoch == epoch) return served;
    if (served != nullptr && served->state.epoch > epoch) return nullptr;
    if (Now() >= until) return nullptr;
    changed.WaitUntil(mutex, until);
  }
  return nullptr;
}

void StateServer::State::Read(Channel channel, base::Epoch epoch) {
  Reading reading;
  std::shared_ptr<Served>& state = reading.served;
  for (;;) {
    ShardRequest request;
    const AbortFlag& flag = state == nullptr ? stop : state->withdrawn;
    const base::Time until = Now() + options.wait_time;
    if (!ReadAll(channel, WritableBytesOf(request), until, flag).ok()) return;
    if (request.magic != kShardMagic) return;
    if (state == nullptr) state = Await(epoch);
    if (state == nullptr) {
      const Description gone{kShardMagic, Told::kGone};
      (void)WriteAll(channel, BytesOf(gone), Now() + kSendTime, stop).ok();
      return;
    }
    {
      runtime::MutexLock lock(mutex);
      if (served != state) return;
      ++leases;
    }
    const absl::Status status = Answer(channel, request, reading);
    {
      runtime::MutexLock lock(mutex);
      --leases;
      changed.NotifyAll();
    }
    if (!status.ok()) return;
  }
}

absl::Status StateServer::State::Answer(Channel& channel, const ShardRequest& request,
                                        Reading& reading) {
  if (request.ask == Ask::kShard) return AnswerShard(channel, request, reading);
  Served& served = *reading.served;
  const ServedState& s = served.state;
  const Description d{kShardMagic,
                      Told::kOk,
                      s.step.value,
                      s.digest,
                      static_cast<std::uint32_t>(served.sizes.size()),
                      static_cast<std::uint32_t>(s.header.size()),
                      static_cast<std::uint32_t>(s.beside.size())};
  std::string out(reinterpret_cast<const char*>(&d), sizeof(d));
  for (const std::uint64_t size : served.sizes) {
    out.append(reinterpret_cast<const char*>(&size), sizeof(size));
  }
  out += s.header + s.beside;
  return WriteAll(channel, std::as_bytes(std::span(out)), Now() + kSendTime, served.withdrawn);
}

absl::Status StateServer::State::AnswerShard(Channel& channel, const ShardRequest& request,
                                             Reading& reading) {
  Served& served = *reading.served;
  const auto& sizes = served.sizes;
  ShardHead head{kShardMagic, Told::kBadRange, 0, 0};
  // Nor so much at once that its checksum would hold up who withdraws.
  const bool inside = request.length <= kMaxShardBytes && request.region < sizes.size() &&
                      request.offset <= sizes[request.region] &&
                      request.length <= sizes[request.region] - request.offset;
  const base::Time until = Now() + kSendTime;
  if (!inside) return WriteAll(channel, BytesOf(head), until, served.withdrawn);
  if (served.state.remote != nullptr && reading.window == nullptr) {
    reading.window = served.state.remote->Open();
  }
  const auto shard = reading.Shard(request);
  head = {kShardMagic, Told::kOk, shard.size(), ShardChecksum(shard)};
  MUSTER_RETURN_IF_ERROR(WriteAll(channel, BytesOf(head), until, served.withdrawn));
  bytes.fetch_add(static_cast<std::int64_t>(shard.size()));
  if (corrupt_in.load() > 0 && corrupt_in.fetch_sub(1) == 1 && !shard.empty()) {
    std::vector<std::byte> damaged(shard.begin(), shard.end());
    damaged[damaged.size() / 2] ^= std::byte{4};
    return WriteAll(channel, damaged, until, served.withdrawn);
  }
  return WriteAll(channel, shard, until, served.withdrawn);
}

}  // namespace muster::comm

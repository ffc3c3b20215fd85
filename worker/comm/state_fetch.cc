#include <poll.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <optional>
#include <thread>

#include "operator/runtime/mutex.h"
#include "worker/comm/dial.h"
#include "worker/comm/shard.h"
#include "worker/comm/state_transfer.h"

namespace muster::comm {
namespace {

// A source that refuses connections is given up after this; its process is probably gone.
constexpr base::Duration kConnectTime = std::chrono::milliseconds(500);
// One that is there and does not believe this member after this: an authority's certificate may be
// on its way to either of them. Nor does it answer at once where strangers fill its listener.
constexpr base::Duration kBelieveTime = std::chrono::seconds(10);
// One that stops in mid-shard (SIGSTOP, a pulled cable) after this.
constexpr base::Duration kStallTime = std::chrono::seconds(2);
// One that has not switched yet is asked again after this.
constexpr base::Duration kAskAgain = std::chrono::milliseconds(100);
constexpr std::size_t kReadBytes = std::size_t{256} << 10;

struct Shard {
  std::size_t region = 0;
  std::size_t offset = 0;
  std::size_t length = 0;
};

std::vector<std::size_t> SizesOf(const FetchOptions& options) {
  if (options.remote != nullptr) return options.remote->Sizes();
  std::vector<std::size_t> sizes;
  for (const auto& region : options.regions) sizes.push_back(region.size());
  return sizes;
}

// One fetch, shared by a thread a source. `stop` ends them all.
class Fetch {
 public:
  explicit Fetch(const FetchOptions& options) : o_(options), sizes_(SizesOf(options)) {
    for (std::size_t r = 0; r < sizes_.size(); ++r) {
      const std::size_t step = std::max<std::size_t>(o_.shard_bytes, 1);
      for (std::size_t at = 0; at < sizes_[r]; at += step) {
        pending_.push_back({r, at, std::min(step, sizes_[r] - at)});
      }
    }
    left_ = pending_.size();
  }

  FetchResult Run(const AbortFlag& abort);

 private:
  void Serve(const StateSource& source);
  absl::Status FromSource(const StateSource& source);
  absl::StatusOr<Channel> Open(const StateSource& source);
  absl::Status Describe(Channel& channel, const StateSource& source);
  absl::Status Take(Channel& channel, const Shard& shard, RemoteRegions::Window* window);
  absl::StatusOr<std::string> ReadText(Channel& channel, std::size_t bytes);
  absl::Status Agree(const Description& d, std::string header, std::string beside,
                     const StateSource& source);
  std::optional<Shard> Next();
  void Finished(const Shard& shard, bool good);
  base::Time Within(base::Duration d) const { return std::min(o_.deadline, Now() + d); }

  const FetchOptions& o_;
  const std::vector<std::size_t> sizes_;
  AbortFlag stop_;  // everybody out: finished, aborted or past the deadline
  AbortFlag over_;  // wakes Run

  runtime::Mutex mutex_;
  runtime::Condition changed_;
  std::deque<Shard> pending_ MUSTER_GUARDED_BY(mutex_);
  std::size_t left_ MUSTER_GUARDED_BY(mutex_) = 0;     // shards not yet arrived
  std::size_t running_ MUSTER_GUARDED_BY(mutex_) = 0;  // sources still at work
  bool described_ MUSTER_GUARDED_BY(mutex_) = false;
  base::MemberId described_by_ MUSTER_GUARDED_BY(mutex_);
  FetchResult result_ MUSTER_GUARDED_BY(mutex_);
  absl::Status disagreement_ MUSTER_GUARDED_BY(mutex_);
  std::string complaints_ MUSTER_GUARDED_BY(mutex_);
};

absl::StatusOr<Channel> Fetch::Open(const StateSource& source) {
  DialOptions dial;
  dial.listener = o_.listener;
  dial.peer = source.member;
  dial.address = source.address;
  dial.greeting = {Kind::kState, o_.epoch, o_.member, 0, o_.job_uid, o_.token};
  dial.deadline = o_.deadline;
  dial.greeting_time = kStallTime;
  const bool tls = o_.listener != nullptr && o_.listener->tls() != nullptr;
  const base::Time there_until = Within(kConnectTime);
  const base::Time believed_until = o_.early ? o_.deadline : Within(kBelieveTime);
  DialPause pauses;
  for (;;) {
    dial.connect_deadline = Within(kConnectTime);
    Dialled dialled = Dial(dial, stop_);
    if (dialled.channel.ok()) return std::move(dialled.channel);
    const absl::Status& status = dialled.channel.status();
    // Whoever answers without TLS and says no means it.
    const bool may_pass = dialled.reached
                              ? tls && (MayPass(status) || absl::IsDeadlineExceeded(status))
                              : MayPass(status);
    const base::Time until = dialled.reached ? believed_until : there_until;
    if (!may_pass || Now() >= until) return status;
    const base::Time next = Now() + pauses.Next(dial, dialled);
    const absl::Status pause = WaitReady(-1, 0, std::min(until, next), stop_);
    if (absl::IsAborted(pause)) return pause;
  }
}

absl::Status Fetch::Describe(Channel& channel, const StateSource& source) {
  const ShardRequest request{};
  MUSTER_RETURN_IF_ERROR(WriteAll(channel, BytesOf(request), Within(kStallTime), stop_));
  // The source of a voluntary change answers only when it has switched: the whole deadline counts.
  Description d;
  MUSTER_RETURN_IF_ERROR(ReadAll(channel, WritableBytesOf(d), o_.deadline, stop_));
  if (d.magic != kShardMagic) return base::DataLoss("it does not speak this protocol");
  if (d.told != Told::kOk) {
    return base::FailedPrecondition("it does not serve the state of epoch " +
                                    std::to_string(o_.epoch.value));
  }
  if (d.regions != sizes_.size()) {
    return base::DataLoss("it has " + std::to_string(d.regions) + " regions, expected are " +
                          std::to_string(sizes_.size()));
  }
  if (std::max(d.header_bytes, d.beside_bytes) > kMaxHeaderBytes) {
    return base::DataLoss("its header has " + std::to_string(d.header_bytes) + " and " +
                          std::to_string(d.beside_bytes) + " bytes, allowed are " +
                          std::to_string(kMaxHeaderBytes) + " each");
  }
  std::vector<std::uint64_t> sizes(d.regions);
  MUSTER_RETURN_IF_ERROR(
      ReadAll(channel, std::as_writable_bytes(std::span(sizes)), Within(kStallTime), stop_));
  for (std::size_t r = 0; r < sizes.size(); ++r) {
    if (sizes[r] != sizes_[r]) {
      return base::DataLoss("its region " + std::to_string(r) + " has " + std::to_string(sizes[r]) +
                            " bytes, expected are " + std::to_string(sizes_[r]));
    }
  }
  MUSTER_ASSIGN_OR_RETURN(std::string header, ReadText(channel, d.header_bytes));
  MUSTER_ASSIGN_OR_RETURN(std::string beside, ReadText(channel, d.beside_bytes));
  return Agree(d, std::move(header), std::move(beside), source);
}

absl::StatusOr<std::string> Fetch::ReadText(Channel& channel, std::size_t bytes) {
  std::string text(bytes, '\0');
  MUSTER_RETURN_IF_ERROR(
      ReadAll(channel, std::as_writable_bytes(std::span(text)), Within(kStallTime), stop_));
  return text;
}

// Everything that arrives must be of one state. Who of two is wrong cannot be told here.
absl::Status Fetch::Agree(const Description& d, std::string header, std::string beside,
                          const StateSource& source) {
  runtime::MutexLock lock(mutex_);
  FetchedState& s = result_.state;
  if (!described_) {
    described_ = true;
    described_by_ = source.member;
    s.step = base::Step(d.step);
    s.digest = d.digest;
    s.header = std::move(header);
    s.beside = std::move(beside);
    return absl::OkStatus();
  }
  if (s.step.value == d.step && s.digest == d.digest && s.header == header) return absl::OkStatus();
  disagreement_ = base::DataLoss("members " + base::ToString(described_by_) + " and " +
                                 base::ToString(source.member) + " serve different states: step " +
                                 std::to_string(s.step.value) + " and " + std::to_string(d.step) +
                                 (s.digest == d.digest ? "" : ", with different digests"));
  over_.Set();
  return disagreement_;
}

absl::Status Fetch::Take(Channel& channel, const Shard& shard, RemoteRegions::Window* window) {
  const ShardRequest request{kShardMagic, Ask::kShard, shard.region, shard.offset, shard.length};
  MUSTER_RETURN_IF_ERROR(WriteAll(channel, BytesOf(request), Within(kStallTime), stop_));
  ShardHead head;
  MUSTER_RETURN_IF_ERROR(ReadAll(channel, WritableBytesOf(head), Within(kStallTime), stop_));
  if (head.magic != kShardMagic || head.told != Told::kOk || head.length != shard.length) {
    return base::DataLoss("it answered a request for a shard with something else");
  }
  const auto into = window != nullptr
                        ? window->Room(shard.length)
                        : o_.regions[shard.region].subspan(shard.offset, shard.length);
  for (std::size_t at = 0; at < into.size(); at += kReadBytes) {
    const auto part = into.subspan(at, std::min(kReadBytes, into.size() - at));
    MUSTER_RETURN_IF_ERROR(ReadAll(channel, part, Within(kStallTime), stop_));
    if (o_.progress != nullptr) *o_.progress += part.size();
  }
  if (ShardChecksum(into) == head.checksum) {
    if (window != nullptr) window->Write(shard.region, shard.offset);
    return absl::OkStatus();
  }
  return base::DataLoss("region " + std::to_string(shard.region) + " at " +
                        std::to_string(shard.offset) + " arrived with a wrong checksum");
}

// The next shard to ask for; waits while others hold the rest, for they may fail. nullopt: no more.
std::optional<Shard> Fetch::Next() {
  runtime::MutexLock lock(mutex_);
  while (pending_.empty() && left_ > 0 && !stop_.is_set()) changed_.WaitUntil(mutex_, o_.deadline);
  if (left_ == 0 || stop_.is_set() || pending_.empty()) return std::nullopt;
  const Shard shard = pending_.front();
  pending_.pop_front();
  return shard;
}

void Fetch::Finished(const Shard& shard, bool good) {
  runtime::MutexLock lock(mutex_);
  if (good) {
    --left_;
    result_.state.bytes += static_cast<std::int64_t>(shard.length);
    if (left_ == 0) over_.Set();
  } else {
    pending_.push_front(shard);
  }
  changed_.NotifyAll();
}

absl::Status Fetch::FromSource(const StateSource& source) {
  Channel channel;
  for (;;) {
    MUSTER_ASSIGN_OR_RETURN(channel, Open(source));
    const absl::Status described = Describe(channel, source);
    if (described.ok()) break;
    if (!o_.early || !absl::IsFailedPrecondition(described)) return described;
    const absl::Status pause = WaitReady(-1, 0, Within(kAskAgain), stop_);
    if (absl::IsAborted(pause) || Now() >= o_.deadline) return described;
  }
  {
    // A state without bytes is whole once one source described it.
    runtime::MutexLock lock(mutex_);
    if (left_ == 0) over_.Set();
  }
  // What it has written is there when it ends, and all of them end before Run does.
  const auto window = o_.remote != nullptr ? o_.remote->Open() : nullptr;
  while (const std::optional<Shard> shard = Next()) {
    const absl::Status status = Take(channel, *shard, window.get());
    Finished(*shard, status.ok());
    MUSTER_RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

void Fetch::Serve(const StateSource& source) {
  const absl::Status status = FromSource(source);
  runtime::MutexLock lock(mutex_);
  if (!status.ok() && !stop_.is_set()) {
    result_.failed.push_back(source.member);
    if (absl::IsDataLoss(status)) result_.corrupt.push_back(source.member);
    complaints_ += (complaints_.empty() ? "" : "; ") + ("member " + base::ToString(source.member)) +
                   " (" + source.address + "): " + base::Message(status);
  }
  if (--running_ == 0) over_.Set();
}

FetchResult Fetch::Run(const AbortFlag& abort) {
  const base::Time begun = Now();
  std::vector<std::thread> threads;
  {
    runtime::MutexLock lock(mutex_);
    running_ = o_.sources.size();
  }
  for (const StateSource& source : o_.sources) {
    threads.emplace_back([this, &source] { Serve(source); });
  }
  const absl::Status waited = WaitReady(over_.fd(), POLLIN, o_.deadline, abort);
  {
    runtime::MutexLock lock(mutex_);
    stop_.Set();
    changed_.NotifyAll();
  }
  for (std::thread& thread : threads) thread.join();
  runtime::MutexLock lock(mutex_);
  result_.state.seconds = base::ToSeconds(Now() - begun);
  if (!disagreement_.ok()) {
    result_.status = disagreement_;
  } else if (described_ && left_ == 0) {
    result_.status = absl::OkStatus();
  } else if (absl::IsAborted(waited)) {
    result_.status = base::Aborted("the state transfer was aborted");
  } else if (!waited.ok() || Now() >= o_.deadline) {
    // A source gives up at the same deadline, so either thread may see it first.
    result_.status = base::DeadlineExceeded("the state did not arrive in time, " +
                                            std::to_string(left_) + " shards are missing" +
                                            (complaints_.empty() ? "" : ": " + complaints_));
  } else {
    result_.status = base::Unavailable("no source of state is left: " + complaints_);
  }
  return std::move(result_);
}

}  // namespace

FetchResult FetchState(const FetchOptions& options) {
  if (options.sources.empty()) {
    return {base::InvalidArgument("a state transfer needs at least one source"), {}, {}, {}};
  }
  const auto abort = options.abort != nullptr ? options.abort : std::make_shared<AbortFlag>();
  return Fetch(options).Run(*abort);
}

}  // namespace muster::comm

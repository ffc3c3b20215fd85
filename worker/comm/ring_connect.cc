#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "operator/runtime/mutex.h"
#include "worker/comm/dial.h"
#include "worker/comm/ring_links.h"

namespace muster::comm {
namespace {

std::string Name(const RingOptions& o, std::size_t rank) {
  return "rank " + std::to_string(rank) + " (member " + base::ToString(o.peers[rank].member) +
         ", " + o.peers[rank].address + ")";
}

// The control connections are idle, and data is only read from the previous member: silence there is
// its kernel's. The next member reads when it has computed its own share.
void Tune(const RingOptions& o, const Channel& channel, Kind kind, bool we_send) {
  TuneSocket(channel.get(), o.link_silence);
  if (kind != Kind::kRing) return;
  SetBuffers(channel.get(), o.socket_buffer_bytes);
  if (we_send) AllowUnread(channel.get());
}

// What the listener's thread hands in; `arrived` wakes the connecting thread.
struct Inbox {
  runtime::Mutex mutex;
  Channel data MUSTER_GUARDED_BY(mutex);
  Channel control MUSTER_GUARDED_BY(mutex);
  AbortFlag complete;

  void Put(Channel channel, Kind kind) {
    runtime::MutexLock lock(mutex);
    (kind == Kind::kRing ? data : control) = std::move(channel);
    if (data && control) complete.Set();
  }
};

// Tries again what may pass: nobody listens yet, it is busy, or one end does not believe the other
// yet. A refusal by reason is final.
absl::StatusOr<Channel> Open(const RingOptions& o, Kind kind, const RingPeer& next,
                             const AbortFlag& abort) {
  DialOptions dial;
  dial.listener = o.listener;
  dial.peer = next.member;
  dial.address = next.address;
  dial.greeting = {kind,
                   o.epoch,
                   o.peers[static_cast<std::size_t>(o.rank)].member,
                   o.rank,
                   o.listener->job_uid(),
                   o.listener->token()};
  dial.connect_deadline = dial.deadline = o.deadline;
  DialPause pauses;
  for (;;) {
    Dialled dialled = Dial(dial, abort);
    if (dialled.channel.ok()) Tune(o, *dialled.channel, kind, true);
    if (dialled.channel.ok() || !MayPass(dialled.channel.status())) {
      return std::move(dialled.channel);
    }
    const base::Duration pause = pauses.Next(dial, dialled);
    if (Now() + pause >= o.deadline) return dialled.channel.status();
    const absl::Status paused = WaitReady(-1, 0, Now() + pause, abort);
    if (absl::IsAborted(paused)) return paused;
  }
}

absl::Status OpenBoth(const RingOptions& o, const RingPeer& next, const AbortFlag& abort,
                      RingLinks& links) {
  MUSTER_ASSIGN_OR_RETURN(links.to_next, Open(o, Kind::kRing, next, abort));
  MUSTER_ASSIGN_OR_RETURN(links.next_control, Open(o, Kind::kRingControl, next, abort));
  return absl::OkStatus();
}

}  // namespace

LinkResult ConnectLinks(const RingOptions& o, const AbortFlag& abort) {
  const std::size_t n = o.peers.size();
  const std::size_t rank = static_cast<std::size_t>(o.rank);
  const std::size_t next = (rank + 1) % n;
  const std::size_t previous = (rank + n - 1) % n;
  auto inbox = std::make_shared<Inbox>();
  const auto accept = [inbox, expected = o.peers[previous].member, previous, &o](
                          Channel channel, const Greeting& greeting) {
    if (greeting.rank != static_cast<std::int32_t>(previous) || greeting.member != expected) return;
    Tune(o, channel, greeting.kind, false);
    inbox->Put(std::move(channel), greeting.kind);
  };
  o.listener->Fence(o.epoch);
  o.listener->Register(Kind::kRing, o.epoch, accept);
  o.listener->Register(Kind::kRingControl, o.epoch, accept);
  LinkResult result;
  const absl::Status out = OpenBoth(o, o.peers[next], abort, result.links);
  absl::Status in = absl::OkStatus();
  if (!inbox->complete.is_set()) {
    // After a failure of our own there is nothing to wait for, but who is missing may still be
    // said.
    in = out.ok() ? WaitReady(inbox->complete.fd(), POLLIN, o.deadline, abort)
                  : base::DeadlineExceeded("did not come");
  }
  o.listener->Unregister(Kind::kRing, o.epoch);
  o.listener->Unregister(Kind::kRingControl, o.epoch);
  {
    // Also of an attempt that came to nothing: whoever reached this member is told goodbye.
    runtime::MutexLock lock(inbox->mutex);
    result.links.from_previous = std::move(inbox->data);
    result.links.previous_control = std::move(inbox->control);
  }
  if (absl::IsAborted(out) || absl::IsAborted(in)) {
    result.status =
        base::Aborted("connecting epoch " + std::to_string(o.epoch.value) + " was aborted");
    return result;
  }
  if (!out.ok()) {
    result.unreachable.push_back(o.peers[next].member);
    result.status = base::Annotate(out, "cannot reach " + Name(o, next));
  }
  // A neighbour on both sides is named once. When next failed at once the previous one had no time.
  if (!in.ok() && previous != next && (out.ok() || Now() >= o.deadline)) {
    result.unreachable.push_back(o.peers[previous].member);
    if (out.ok()) result.status = base::Annotate(in, "not reached by " + Name(o, previous));
  } else if (!in.ok() && out.ok()) {
    result.unreachable.push_back(o.peers[previous].member);
    result.status = base::Annotate(in, "not reached by " + Name(o, previous));
  }
  return result;
}

}  // namespace muster::comm

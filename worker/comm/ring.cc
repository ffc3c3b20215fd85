#include "worker/comm/ring.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "operator/base/check.h"
#include "operator/runtime/mutex.h"
#include "worker/comm/reduce.h"
#include "worker/comm/ring_links.h"

namespace muster::comm {
namespace {

constexpr std::uint32_t kFrameMagic = 0x4d524e47;
constexpr char kGoodbye = 'G';
// One byte on a connection that carries nothing else, so it fits; nobody waits for it.
void SayGoodbyeOn(Channel& control) {
  if (control) control.Write(std::as_bytes(std::span(&kGoodbye, 1)));
}
// How long a broken data socket waits for the goodbye that may explain it: the two sockets are
// ordered each for itself only.
constexpr base::Duration kGoodbyeGrace = std::chrono::milliseconds(5);

// Opens every reduction on the data socket: what follows is believed only when all of it agrees.
struct Frame {
  std::uint32_t magic = kFrameMagic;
  std::uint8_t op = 0;
  std::uint8_t type = 0;
  std::uint16_t members = 0;
  std::uint64_t epoch = 0;
  std::uint64_t sequence = 0;
  std::uint64_t bytes = 0;
};
static_assert(sizeof(Frame) == 32);

bool Blocked(ssize_t n) { return n < 0 && Channel::Blocked(); }

}  // namespace

// A reduction as two streams of 2(n-1) segments each: what is received as segment k is, once
// reduced (first half) or stored (second half), sent as segment k+1. So a byte of the outgoing
// stream is ready when the incoming stream has come as far, less the first segment, which is our
// own input.
struct Ring::State {
  RingOptions options;
  std::shared_ptr<AbortFlag> abort;
  Channel to_next, from_previous;  // who aborts only shuts the sockets down
  // Goodbye is said by any thread, and read by the one that polls.
  runtime::Mutex control_mutex;
  Channel next_control MUSTER_GUARDED_BY(control_mutex);
  Channel previous_control MUSTER_GUARDED_BY(control_mutex);
  int next_control_fd = -1, previous_control_fd = -1;  // theirs, to poll
  std::size_t n = 1;
  std::size_t rank = 0;
  std::atomic<std::int64_t> bytes_sent{0};
  std::atomic<bool> abort_called{false};
  std::optional<absl::Status> failed;
  std::optional<base::MemberId> broken;

  bool running = false;
  Reduction r;
  std::uint64_t sequence = 0;
  std::size_t element = 1;
  Frame frame_out, frame_in;
  std::size_t frame_sent = 0, frame_received = 0;
  // Send side: segment index, bytes of it gone. Receive side: likewise, by what was reduced or
  // stored.
  std::size_t send_k = 0, send_at = 0;
  std::size_t receive_k = 0, receive_at = 0;
  std::uint64_t sent_total = 0, received_total = 0;
  std::size_t held = 0;  // bytes in scratch that are not yet a whole element
  std::vector<std::byte> scratch;

  std::size_t steps() const { return 2 * (n - 1); }
  std::size_t Begin(std::size_t segment) const {
    const std::size_t count = r.in.size() / element;
    return count * segment / n * element;
  }
  std::size_t SendSegment(std::size_t k) const { return (rank + 2 * n - k % n) % n; }
  std::size_t ReceiveSegment(std::size_t k) const { return SendSegment(k + 1); }
  std::size_t Size(std::size_t segment) const { return Begin(segment + 1) - Begin(segment); }
  std::size_t Previous() const { return (rank + n - 1) % n; }
  std::size_t Next() const { return (rank + 1) % n; }
  bool Done() const {
    return send_k == steps() && receive_k == steps() && frame_sent == sizeof(Frame) &&
           frame_received == sizeof(Frame);
  }

  void Skip();
  absl::StatusOr<bool> Send();
  absl::StatusOr<bool> Receive();
  absl::StatusOr<bool> ReceiveFrame();
  absl::Status Wait(base::Time until);
  enum class Side { kNext, kPrevious };
  enum class Heard { kGoodbye, kEnd, kNothing };
  bool ControlBuffered();
  Heard ReadControl(Side side);
  Heard Listen(Side side);  // within the grace for goodbyes
  absl::Status Broke(Side side, Heard heard, const std::string& what);
  absl::Status NoData(ssize_t got);
  absl::Status Fail(absl::Status status);
  void Adopt(RingLinks links);
  void SayGoodbye();
};

Ring::Connected Ring::Connect(RingOptions options) {
  auto state = std::make_unique<State>();
  state->n = options.peers.size();
  state->rank = static_cast<std::size_t>(options.rank);
  if (state->n == 0 || options.rank < 0 || state->rank >= state->n || options.piece_bytes < 64) {
    return {base::InvalidArgument("a ring needs a rank among its peers and pieces of 64 bytes"),
            nullptr,
            {}};
  }
  if (options.abort == nullptr) options.abort = std::make_shared<AbortFlag>();
  state->abort = options.abort;
  if (state->abort->is_set()) return {base::Aborted("connecting was aborted"), nullptr, {}};
  if (state->n > 1) {
    LinkResult result = ConnectLinks(options, *state->abort);
    if (!result.status.ok()) {
      // M3: the neighbour that was reached must not take the end of these for a death; that would
      // begin a new round each time before all have told whom they cannot reach (M7).
      SayGoodbyeOn(result.links.next_control);
      SayGoodbyeOn(result.links.previous_control);
      return {result.status, nullptr, std::move(result.unreachable)};
    }
    state->Adopt(std::move(result.links));
    state->scratch.resize(options.piece_bytes);
  }
  state->options = std::move(options);
  return {absl::OkStatus(), std::unique_ptr<Ring>(new Ring(std::move(state))), {}};
}

Ring::Ring(std::unique_ptr<State> state) : state_(std::move(state)) {}
Ring::~Ring() { state_->SayGoodbye(); }

std::int64_t Ring::bytes_sent() const { return state_->bytes_sent.load(); }
std::optional<base::MemberId> Ring::broken_peer() const { return state_->broken; }

void Ring::State::Adopt(RingLinks links) {
  to_next = std::move(links.to_next);
  from_previous = std::move(links.from_previous);
  runtime::MutexLock lock(control_mutex);
  next_control = std::move(links.next_control);
  previous_control = std::move(links.previous_control);
  next_control_fd = next_control.get();
  previous_control_fd = previous_control.get();
}

void Ring::State::SayGoodbye() {
  runtime::MutexLock lock(control_mutex);
  SayGoodbyeOn(next_control);
  SayGoodbyeOn(previous_control);
}

void Ring::Abort() {
  if (state_->abort_called.exchange(true)) return;
  state_->SayGoodbye();
  state_->abort->Set();
  // Neighbours see the end of our data without waiting for this ring to be destroyed.
  for (int fd : {state_->to_next.get(), state_->from_previous.get()}) {
    if (fd >= 0) shutdown(fd, SHUT_RDWR);
  }
}

absl::Status Ring::BeginAllReduce(const Reduction& reduction) {
  State& s = *state_;
  if (s.abort->is_set()) return base::Aborted("the ring was aborted");
  if (s.failed) return base::Aborted("the ring is broken: " + base::Message(*s.failed));
  if (s.running) return base::FailedPrecondition("a reduction is in flight");
  const std::size_t element = ElementBytes(reduction.type);
  if (reduction.in.size() != reduction.out.size() || reduction.in.size() % element != 0) {
    return base::InvalidArgument("a reduction of " + std::to_string(reduction.in.size()) +
                                 " bytes into " + std::to_string(reduction.out.size()) +
                                 " of elements of " + std::to_string(element) + " bytes");
  }
  s.r = reduction;
  s.element = element;
  s.running = true;
  ++s.sequence;
  s.frame_out = Frame{kFrameMagic,
                      static_cast<std::uint8_t>(reduction.op),
                      static_cast<std::uint8_t>(reduction.type),
                      static_cast<std::uint16_t>(s.n),
                      s.options.epoch.value,
                      s.sequence,
                      reduction.in.size()};
  s.frame_sent = s.frame_received = 0;
  s.send_k = s.send_at = s.receive_k = s.receive_at = s.held = 0;
  s.sent_total = s.received_total = 0;
  if (s.n == 1) {
    s.frame_sent = s.frame_received = sizeof(Frame);
    if (!reduction.in.empty()) {
      std::memmove(reduction.out.data(), reduction.in.data(), reduction.in.size());
    }
  }
  s.Skip();
  return absl::OkStatus();
}

std::optional<absl::Status> Ring::Poll(base::Duration wait) {
  State& s = *state_;
  if (s.abort->is_set()) return s.Fail(base::Aborted("the reduction was aborted"));
  if (!s.running) return base::FailedPrecondition("no reduction is in flight");
  const base::Time until = Now() + wait;
  for (;;) {
    const auto sent = s.Send();
    const auto received = sent.ok() ? s.Receive() : sent;
    if (s.abort->is_set()) return s.Fail(base::Aborted("the reduction was aborted"));
    if (!received.ok()) return s.Fail(received.status());
    if (s.Done()) {
      s.running = false;
      return absl::OkStatus();
    }
    if (Now() >= until) return std::nullopt;
    if (*sent || *received) continue;
    if (absl::Status status = s.Wait(until); !status.ok()) return s.Fail(std::move(status));
  }
}

absl::Status Ring::State::Fail(absl::Status status) {
  running = false;
  if (!failed) failed = status;
  return status;
}

// Steps over empty segments (fewer elements than members).
void Ring::State::Skip() {
  while (send_k < steps() && send_at == Size(SendSegment(send_k))) ++send_k, send_at = 0;
  while (receive_k < steps() && receive_at == Size(ReceiveSegment(receive_k))) {
    ++receive_k, receive_at = 0;
  }
}

// One send call's worth; true when something went out.
absl::StatusOr<bool> Ring::State::Send() {
  const std::byte* from = nullptr;
  std::size_t size = 0;
  if (frame_sent < sizeof(Frame)) {
    from = reinterpret_cast<const std::byte*>(&frame_out) + frame_sent;
    size = sizeof(Frame) - frame_sent;
  } else if (send_k < steps()) {
    const std::size_t segment = SendSegment(send_k);
    const std::uint64_t ready = Size(SendSegment(0)) + received_total;
    size = std::min({Size(segment) - send_at, options.piece_bytes,
                     static_cast<std::size_t>(ready - sent_total)});
    from = (send_k == 0 ? r.in.data() : r.out.data()) + Begin(segment) + send_at;
  }
  if (size == 0) return false;
  const ssize_t n_sent = to_next.Write({from, size});
  if (Blocked(n_sent)) return false;
  if (n_sent < 0) {
    const std::string trouble = to_next.Trouble();
    return Broke(Side::kNext, Listen(Side::kNext), trouble);
  }
  if (frame_sent < sizeof(Frame)) {
    frame_sent += static_cast<std::size_t>(n_sent);
    return true;
  }
  send_at += static_cast<std::size_t>(n_sent);
  sent_total += static_cast<std::uint64_t>(n_sent);
  bytes_sent.fetch_add(n_sent, std::memory_order_relaxed);
  Skip();
  return true;
}

absl::Status Ring::State::NoData(ssize_t got) {
  const std::string what = got == 0 ? "closed the connection" : from_previous.Trouble();
  return Broke(Side::kPrevious, Listen(Side::kPrevious), what);
}

absl::StatusOr<bool> Ring::State::ReceiveFrame() {
  const ssize_t got =
      from_previous.Read(std::as_writable_bytes(std::span(&frame_in, 1)).subspan(frame_received));
  if (Blocked(got)) return false;
  if (got <= 0) return NoData(got);
  frame_received += static_cast<std::size_t>(got);
  if (frame_received == sizeof(Frame) && std::memcmp(&frame_in, &frame_out, sizeof(Frame)) != 0) {
    return base::Internal(
        "rank " + std::to_string(Previous()) + " reduces something else: epoch " +
        std::to_string(frame_in.epoch) + " sequence " + std::to_string(frame_in.sequence) + " of " +
        std::to_string(frame_in.bytes) + " bytes, this member epoch " +
        std::to_string(frame_out.epoch) + " sequence " + std::to_string(frame_out.sequence) +
        " of " + std::to_string(frame_out.bytes) + " bytes");
  }
  return true;
}

// One receive call's worth, reduced or stored at once; true when something came in.
absl::StatusOr<bool> Ring::State::Receive() {
  if (frame_received < sizeof(Frame)) return ReceiveFrame();
  if (receive_k == steps()) return false;
  const std::size_t segment = ReceiveSegment(receive_k);
  const std::size_t left = Size(segment) - receive_at;
  const bool reducing = receive_k < n - 1;
  std::byte* const out = r.out.data() + Begin(segment) + receive_at;
  std::byte* const into = reducing ? scratch.data() + held : out;
  const std::size_t most =
      reducing ? std::min(scratch.size(), left) - held : std::min(left, options.piece_bytes);
  const ssize_t got = from_previous.Read({into, most});
  if (Blocked(got)) return false;
  if (got <= 0) return NoData(got);
  std::size_t whole = static_cast<std::size_t>(got);
  if (reducing) {
    held += whole;
    whole = held / element * element;
    Combine(r.op, r.type, r.in.data() + Begin(segment) + receive_at, scratch.data(), out,
            whole / element);
    held -= whole;
    if (held > 0) std::memmove(scratch.data(), scratch.data() + whole, held);
  }
  receive_at += whole;
  received_total += whole;
  Skip();
  return true;
}

// Only after a Send and a Receive that were blocked or had nothing to do: bytes that TLS has
// decrypted already are not seen by poll.
absl::Status Ring::State::Wait(base::Time until) {
  const bool may_send = frame_sent < sizeof(Frame) ||
                        (send_k < steps() && Size(SendSegment(0)) + received_total > sent_total);
  pollfd fds[4] = {{from_previous.get(), from_previous.read_waits_for(), 0},
                   {may_send ? to_next.get() : -1, to_next.write_waits_for(), 0},
                   {abort->fd(), POLLIN, 0},
                   {send_k < steps() ? next_control_fd : -1, POLLIN, 0}};
  // An empty reduction owes no byte, yet the frame that says so.
  if (receive_k == steps() && frame_received == sizeof(Frame)) fds[0].fd = -1;
  const bool buffered = fds[3].fd >= 0 && ControlBuffered();
  const auto left = buffered ? 0 : std::max<std::int64_t>((until - Now()).count(), 0);
  const timespec timeout = {static_cast<time_t>(left / 1'000'000'000),
                            static_cast<long>(left % 1'000'000'000)};
  if (ppoll(fds, 4, &timeout, nullptr) < 0 && errno != EINTR) {
    return base::Internal("poll: " + base::ErrnoText(errno));
  }
  if (abort->is_set()) return base::Aborted("the reduction was aborted");
  // The next member left while we still owe it data: nothing more can come of this reduction. One
  // that has everything may leave; what the previous one still owes us ends with its data socket.
  if (!buffered && fds[3].revents == 0) return absl::OkStatus();
  const Heard heard = Listen(Side::kNext);
  if (heard == Heard::kNothing && !abort->is_set()) return absl::OkStatus();
  return Broke(Side::kNext, heard, "closed the connection");
}

bool Ring::State::ControlBuffered() {
  runtime::MutexLock lock(control_mutex);
  return next_control.buffered();
}

Ring::State::Heard Ring::State::ReadControl(Side side) {
  char word = 0;
  runtime::MutexLock lock(control_mutex);
  Channel& control = side == Side::kNext ? next_control : previous_control;
  const ssize_t n = control.Read(std::as_writable_bytes(std::span(&word, 1)));
  if (Blocked(n)) return Heard::kNothing;
  return n == 1 && word == kGoodbye ? Heard::kGoodbye : Heard::kEnd;
}

Ring::State::Heard Ring::State::Listen(Side side) {
  const base::Time until = Now() + kGoodbyeGrace;
  for (;;) {
    const Heard heard = ReadControl(side);
    if (heard != Heard::kNothing) return heard;
    const int fd = side == Side::kNext ? next_control_fd : previous_control_fd;
    if (!WaitReady(fd, POLLIN, until, *abort).ok()) return heard;
  }
}

// M3: goodbye, said on the control connection before anything was closed, is no evidence against
// the peer.
absl::Status Ring::State::Broke(Side side, Heard heard, const std::string& what) {
  if (abort->is_set()) return base::Aborted("the reduction was aborted");
  const std::size_t peer = side == Side::kNext ? Next() : Previous();
  const std::string name = "rank " + std::to_string(peer) + " (member " +
                           base::ToString(options.peers[peer].member) + ")";
  if (heard == Heard::kGoodbye) return base::Aborted(name + " said goodbye");
  broken = options.peers[peer].member;
  return base::Unavailable(name + ": " + what);
}

}  // namespace muster::comm

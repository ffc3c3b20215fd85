#include "worker/comm/ring.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "operator/base/check.h"
#include "worker/comm/reduce.h"
#include "worker/comm/ring_links.h"

namespace muster::comm {
namespace {

constexpr std::uint32_t kFrameMagic = 0x4d524e47;
constexpr char kGoodbye = 'G';
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

bool Blocked(ssize_t n) { return n < 0 && (errno == EAGAIN || errno == EINTR); }

}  // namespace

// A reduction as two streams of 2(n-1) segments each: what is received as segment k is, once
// reduced (first half) or stored (second half), sent as segment k+1. So a byte of the outgoing
// stream is ready when the incoming stream has come as far, less the first segment, which is our
// own input.
struct Ring::State {
  RingOptions options;
  std::shared_ptr<AbortFlag> abort;
  RingLinks links;
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
  absl::Status Broke(std::size_t peer, int control, const std::string& what);
  absl::Status Fail(absl::Status status);
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
    if (!result.status.ok()) return {result.status, nullptr, std::move(result.unreachable)};
    state->links = std::move(result.links);
    state->scratch.resize(options.piece_bytes);
  }
  state->options = std::move(options);
  return {absl::OkStatus(), std::unique_ptr<Ring>(new Ring(std::move(state))), {}};
}

Ring::Ring(std::unique_ptr<State> state) : state_(std::move(state)) {}
Ring::~Ring() { state_->SayGoodbye(); }

std::int64_t Ring::bytes_sent() const { return state_->bytes_sent.load(); }
std::optional<base::MemberId> Ring::broken_peer() const { return state_->broken; }

void Ring::State::SayGoodbye() {
  for (int fd : {links.next_control.get(), links.previous_control.get()}) {
    if (fd >= 0) send(fd, &kGoodbye, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
}

void Ring::Abort() {
  if (state_->abort_called.exchange(true)) return;
  state_->SayGoodbye();
  state_->abort->Set();
  // Neighbours see the end of our data without waiting for this ring to be destroyed.
  for (int fd : {state_->links.to_next.get(), state_->links.from_previous.get()}) {
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
  const ssize_t n_sent = send(links.to_next.get(), from, size, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (Blocked(n_sent)) return false;
  if (n_sent < 0) return Broke(Next(), links.next_control.get(), base::ErrnoText(errno));
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

absl::StatusOr<bool> Ring::State::ReceiveFrame() {
  const ssize_t got =
      recv(links.from_previous.get(), reinterpret_cast<std::byte*>(&frame_in) + frame_received,
           sizeof(Frame) - frame_received, MSG_DONTWAIT);
  if (Blocked(got)) return false;
  if (got <= 0) {
    return Broke(Previous(), links.previous_control.get(),
                 got == 0 ? "closed the connection" : base::ErrnoText(errno));
  }
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
  const ssize_t got = recv(links.from_previous.get(), into, most, MSG_DONTWAIT);
  if (Blocked(got)) return false;
  if (got <= 0) {
    return Broke(Previous(), links.previous_control.get(),
                 got == 0 ? "closed the connection" : base::ErrnoText(errno));
  }
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

absl::Status Ring::State::Wait(base::Time until) {
  const bool may_send = frame_sent < sizeof(Frame) ||
                        (send_k < steps() && Size(SendSegment(0)) + received_total > sent_total);
  pollfd fds[4] = {{links.from_previous.get(), POLLIN, 0},
                   {may_send ? links.to_next.get() : -1, POLLOUT, 0},
                   {abort->fd(), POLLIN, 0},
                   {send_k < steps() ? links.next_control.get() : -1, POLLIN, 0}};
  // An empty reduction owes no byte, yet the frame that says so.
  if (receive_k == steps() && frame_received == sizeof(Frame)) fds[0].fd = -1;
  const auto left = std::max<std::int64_t>((until - Now()).count(), 0);
  const timespec timeout = {static_cast<time_t>(left / 1'000'000'000),
                            static_cast<long>(left % 1'000'000'000)};
  if (ppoll(fds, 4, &timeout, nullptr) < 0 && errno != EINTR) {
    return base::Internal("poll: " + base::ErrnoText(errno));
  }
  if (abort->is_set()) return base::Aborted("the reduction was aborted");
  // The next member left while we still owe it data: nothing more can come of this reduction. One
  // that has everything may leave; what the previous one still owes us ends with its data socket.
  if (fds[3].revents != 0) return Broke(Next(), links.next_control.get(), "closed the connection");
  return absl::OkStatus();
}

// M3: goodbye, said on the control socket before anything was closed, is no evidence against the
// peer.
absl::Status Ring::State::Broke(std::size_t peer, int control, const std::string& what) {
  const std::string name = "rank " + std::to_string(peer) + " (member " +
                           base::ToString(options.peers[peer].member) + ")";
  if (absl::IsAborted(WaitReady(control, POLLIN, Now() + kGoodbyeGrace, *abort))) {
    return base::Aborted("the reduction was aborted");
  }
  char word = 0;
  if (recv(control, &word, 1, MSG_DONTWAIT) == 1 && word == kGoodbye) {
    return base::Aborted(name + " said goodbye");
  }
  broken = options.peers[peer].member;
  return base::Unavailable(name + ": " + what);
}

}  // namespace muster::comm

#include "tests/worker/nccl/standin/ring.h"

#include <algorithm>

#include "tests/worker/nccl/standin/device_bytes.h"

namespace muster::standin {
namespace {

using Clock = std::chrono::steady_clock;

// Above what any test takes. NCCL itself would wait for ever.
constexpr std::chrono::minutes kLongest{10};
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;
constexpr std::int64_t kCollective = 0x6d757374, kLeave = 0x6c656176;

Patience Until(const Stop& stop, const Socket* beside) {
  return {&stop, Clock::now() + kLongest, beside};
}

// A wait that was too long is a stop that nobody asked for: it is said as what it is.
Outcome Tell(Flow flow, const char* peer, const Stop& stop) {
  if (flow == Flow::kStopped && !stop.load()) return {kSystemError, "ten minutes have passed"};
  return OutcomeOf(flow, peer);
}

struct Greeting {
  Key key;
  std::int32_t rank;
};

}  // namespace

// Goes before each collective from the rank before.
struct Ring::Head {
  std::int64_t what = 0;
  std::uint64_t sequence = 0, count = 0;
  std::int32_t type = 0, op = 0;
  std::int64_t root = kNoRoot;
};

void Ring::Close() {
  left_.Close();
  right_.Close();
}

Patience Ring::WatchingRight(const Stop& stop) const { return Until(stop, &right_); }
Patience Ring::WatchingLeft(const Stop& stop) const { return Until(stop, &left_); }

Outcome Ring::FromLeft(void* bytes, std::size_t count, const Stop& stop) const {
  return Tell(Receive(left_, bytes, count, WatchingRight(stop)), "a neighbour", stop);
}
Outcome Ring::ToRight(const void* bytes, std::size_t count, const Stop& stop) const {
  return Tell(Send(right_, bytes, count, WatchingLeft(stop)), "a neighbour", stop);
}

Outcome Ring::AwaitLeft(const Socket& listener, const Stop& stop) {
  const std::int32_t before = (seat_.rank + seat_.size - 1) % seat_.size;
  while (true) {
    Socket socket;
    Flow flow = Accept(listener, WatchingRight(stop), &socket);
    if (flow != Flow::kDone) return Tell(flow, "the next rank", stop);
    Greeting greeting{};
    flow = Receive(socket, &greeting, sizeof greeting, WatchingRight(stop));
    if (flow == Flow::kStopped) return Tell(flow, "the rank before", stop);
    if (flow != Flow::kDone || greeting.key != seat_.place.key || greeting.rank != before) continue;
    left_ = std::move(socket);
    return {};
  }
}

Outcome Ring::Join(const Stop& stop) {
  Socket listener;
  std::uint16_t port = 0;
  Flow flow = Listen(&listener, &port);
  if (flow != Flow::kDone) return Tell(flow, "this rank", stop);
  std::vector<std::uint16_t> ports;
  Outcome met = Meet(seat_, port, Until(stop, nullptr), &ports);
  if (met.result == kInProgress) return Tell(Flow::kStopped, "the root", stop);
  if (met.result != kSuccess || seat_.size == 1) return met;
  const auto next = static_cast<std::size_t>((seat_.rank + 1) % seat_.size);
  flow = ConnectStubbornly(ports[next], Until(stop, nullptr), &right_);
  const Greeting greeting{seat_.place.key, seat_.rank};
  if (flow == Flow::kDone) flow = Send(right_, &greeting, sizeof greeting, Until(stop, nullptr));
  if (flow != Flow::kDone) return Tell(flow, "the next rank", stop);
  return AwaitLeft(listener, stop);
}

Outcome Ring::Agree(const Collective& collective, const Stop& stop) {
  const Head mine{kCollective,     ++sequence_,   collective.count,
                  collective.type, collective.op, collective.root};
  if (seat_.rank > 0) {
    Head theirs;
    Outcome got = FromLeft(&theirs, sizeof theirs, stop);
    if (got.result != kSuccess) return got;
    if (theirs.what != mine.what || theirs.sequence != mine.sequence ||
        theirs.count != mine.count || theirs.type != mine.type || theirs.op != mine.op ||
        theirs.root != mine.root) {
      return {kInvalidUsage,
              "rank " + std::to_string(seat_.rank - 1) + " has " + std::to_string(theirs.count) +
                  " elements of type " + std::to_string(theirs.type) + ", rank " +
                  std::to_string(seat_.rank) + " has " + std::to_string(mine.count) + " of type " +
                  std::to_string(mine.type) + ", or another operation or root"};
    }
  }
  if (seat_.rank == seat_.size - 1) return {};
  return ToRight(&mine, sizeof mine, stop);
}

Outcome Ring::ReducePiece(const Collective& whole, std::size_t first, std::size_t count,
                          const Stop& stop) {
  const std::size_t element = BytesOf(whole.type), bytes = count * element;
  mine_.resize(bytes);
  theirs_.resize(bytes);
  if (whole.root == kNoRoot || whole.root == seat_.rank) {
    ReadDevice(static_cast<const char*>(whole.in) + first * element, mine_.data(), bytes);
  } else {
    std::fill(mine_.begin(), mine_.end(), '\0');
  }
  const bool is_last = seat_.rank == seat_.size - 1;
  Outcome outcome;
  if (seat_.rank > 0) {
    outcome = FromLeft(theirs_.data(), bytes, stop);
    if (outcome.result != kSuccess) return outcome;
    if (!Combine(whole.op, whole.type, mine_.data(), theirs_.data(), count)) {
      return {kInvalidArgument, "an operation that the stand-in does not know"};
    }
    mine_.swap(theirs_);
  }
  if (!is_last) {
    outcome = ToRight(mine_.data(), bytes, stop);
    if (outcome.result == kSuccess) outcome = FromLeft(mine_.data(), bytes, stop);
    if (outcome.result != kSuccess) return outcome;
  }
  WriteDevice(mine_.data(), static_cast<char*>(whole.out) + first * element, bytes);
  // The last rank begins the round of the result, and the one before it ends it.
  const bool passes_on = seat_.size > 1 && seat_.rank != seat_.size - 2;
  return passes_on ? ToRight(mine_.data(), bytes, stop) : outcome;
}

Outcome Ring::Reduce(const Collective& collective, const Stop& stop) {
  Outcome outcome = Agree(collective, stop);
  const std::size_t most = kPieceBytes / BytesOf(collective.type);
  for (std::size_t at = 0; at < collective.count && outcome.result == kSuccess; at += most) {
    outcome = ReducePiece(collective, at, std::min(most, collective.count - at), stop);
  }
  return outcome;
}

Outcome Ring::TakeLeave(const Stop& stop) {
  if (seat_.size == 1) return {};
  const std::int64_t mine = kLeave;
  for (const Socket* to : {&left_, &right_}) {
    const Flow sent = Send(*to, &mine, sizeof mine, Until(stop, nullptr));
    if (sent != Flow::kDone) return Tell(sent, "a neighbour", stop);
  }
  for (const Socket* from : {&left_, &right_}) {
    std::int64_t theirs = 0;
    const Flow got = Receive(*from, &theirs, sizeof theirs, Until(stop, nullptr));
    if (got != Flow::kDone) return Tell(got, "a neighbour", stop);
    if (theirs != kLeave) return {kInvalidUsage, "a neighbour reduces while this rank leaves"};
  }
  return {};
}

}  // namespace muster::standin

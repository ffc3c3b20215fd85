#include "tests/worker/nccl/standin/rendezvous.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>
#include <utility>

namespace muster::standin {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kMark[8] = {'s', 't', 'a', 'n', 'd', '-', 'i', 'n'};
constexpr std::chrono::minutes kRootLives{10};
constexpr std::chrono::seconds kHelloTakes{5};
constexpr std::int32_t kMostRanks = 4096;

// What a rank says to the root, and the root's answer, which the ports follow when it is kSuccess.
struct Hello {
  Key key;
  std::int32_t rank, size;
  std::int32_t port;
};
struct Answer {
  std::int32_t result;
};

struct Guests {
  std::int32_t size = 0;  // as the first one had it
  std::vector<Socket> sockets;
  std::vector<std::uint16_t> ports;
  std::int32_t came = 0;
  bool complete() const { return size > 0 && came == size; }
};

void Admit(const Hello& hello, Socket socket, Guests& guests) {
  if (hello.size < 1 || hello.size > kMostRanks || hello.rank < 0 || hello.rank >= hello.size) {
    return;  // nobody who follows this file's rules
  }
  if (guests.size == 0) {
    guests.size = hello.size;
    guests.sockets.resize(static_cast<std::size_t>(hello.size));
    guests.ports.resize(guests.sockets.size());
  }
  const auto rank = static_cast<std::size_t>(hello.rank);
  const bool fits = hello.size == guests.size && guests.sockets[rank].descriptor() < 0;
  if (!fits) {
    const Answer answer{kInvalidUsage};
    (void)Send(socket, &answer, sizeof answer, {nullptr, Clock::now() + kHelloTakes});
    return;
  }
  guests.sockets[rank] = std::move(socket);
  guests.ports[rank] = static_cast<std::uint16_t>(hello.port);
  ++guests.came;
}

void RunRoot(const Socket& listener, const Key& key) {
  const Patience patience{nullptr, Clock::now() + kRootLives};
  Guests guests;
  while (!guests.complete()) {
    Socket socket;
    if (Accept(listener, patience, &socket) != Flow::kDone) return;
    Hello hello{};
    const Patience soon{nullptr, Clock::now() + kHelloTakes};
    if (Receive(socket, &hello, sizeof hello, soon) != Flow::kDone || hello.key != key) continue;
    Admit(hello, std::move(socket), guests);
  }
  // A guest that is dead by now is found out by its neighbours.
  const Answer answer{kSuccess};
  const Patience last{nullptr, Clock::now() + kHelloTakes};
  for (const Socket& socket : guests.sockets) {
    (void)Send(socket, &answer, sizeof answer, last);
    (void)Send(socket, guests.ports.data(), guests.ports.size() * sizeof(std::uint16_t), last);
  }
}

Flow Rest(std::chrono::milliseconds pause, const Patience& patience) {
  const auto until = Clock::now() + pause;
  while (Clock::now() < until) {
    if (patience.stop != nullptr && patience.stop->load()) return Flow::kStopped;
    if (Clock::now() >= patience.until) return Flow::kStopped;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return Flow::kDone;
}

}  // namespace

Outcome OutcomeOf(Flow flow, const std::string& peer) {
  switch (flow) {
    case Flow::kDone:
      return {};
    case Flow::kStopped:
      return {kInProgress, ""};
    case Flow::kClosed:
      return {kRemoteError, peer + " closed its connection"};
    case Flow::kRefused:
      return {kSystemError, "the connection to " + peer + " was refused"};
    case Flow::kFailed:
      return {kSystemError, "a system call failed for the connection to " + peer};
  }
  return {kSystemError, peer};
}

bool ReadId(const ncclUniqueId& id, Place* place) {
  if (std::memcmp(id.internal, kMark, sizeof kMark) != 0) return false;
  std::memcpy(&place->port, id.internal + 8, sizeof place->port);
  std::memcpy(place->key.data(), id.internal + 16, place->key.size());
  return true;
}

Outcome MakeId(ncclUniqueId* id) {
  Socket listener;
  Place place;
  const Flow listens = Listen(&listener, &place.port);
  if (listens != Flow::kDone) return OutcomeOf(listens, "the root");
  std::random_device random;
  for (std::uint8_t& byte : place.key) byte = static_cast<std::uint8_t>(random());
  std::memset(id->internal, 0, sizeof id->internal);
  std::memcpy(id->internal, kMark, sizeof kMark);
  std::memcpy(id->internal + 8, &place.port, sizeof place.port);
  std::memcpy(id->internal + 16, place.key.data(), place.key.size());
  // Nobody can end it, as in NCCL: an id has no owner.
  std::thread([listener = std::move(listener), key = place.key] {
    RunRoot(listener, key);
  }).detach();
  return {};
}

Flow ConnectStubbornly(std::uint16_t port, const Patience& patience, Socket* out) {
  constexpr int kTries = 8;
  Flow flow = Flow::kRefused;
  for (int i = 1; i <= kTries; ++i) {
    flow = Connect(port, patience, out);
    if (flow != Flow::kRefused || i == kTries) return flow;
    if (Rest(std::chrono::milliseconds(25 * i), patience) != Flow::kDone) return Flow::kStopped;
  }
  return flow;
}

Outcome Meet(const Seat& seat, std::uint16_t my_port, const Patience& patience,
             std::vector<std::uint16_t>* ports) {
  Socket root;
  Flow flow = ConnectStubbornly(seat.place.port, patience, &root);
  if (flow != Flow::kDone) return OutcomeOf(flow, "the root");
  const Hello hello{seat.place.key, seat.rank, seat.size, my_port};
  flow = Send(root, &hello, sizeof hello, patience);
  Answer answer{kSuccess};
  if (flow == Flow::kDone) flow = Receive(root, &answer, sizeof answer, patience);
  if (flow == Flow::kDone && answer.result != kSuccess) {
    return {answer.result, "the root has other members in mind"};
  }
  ports->resize(static_cast<std::size_t>(seat.size));
  const std::size_t bytes = ports->size() * sizeof(std::uint16_t);
  if (flow == Flow::kDone) flow = Receive(root, ports->data(), bytes, patience);
  return OutcomeOf(flow, "the root");
}

}  // namespace muster::standin

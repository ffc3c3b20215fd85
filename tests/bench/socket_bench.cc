// Whether several sockets between two neighbours of the ring would be faster than one: two members,
// each a thread, send each other the same bytes over 1, 2 and 4 loopback sockets a direction, add
// up what arrives as the ring does (pieces of 256 KiB, non-blocking, one poll), and are timed.
//
//   socket_bench [--megabytes N] [--rounds N]
//
// Rounds of the three follow each other in turn, so that a busy machine is busy for all of them.
// Printed: median and best GB/s a direction, and the median's ratio to that of one socket.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "worker/comm/reduce.h"
#include "worker/comm/socket.h"

namespace muster::comm {
namespace {

constexpr std::size_t kPiece = std::size_t{256} << 10;  // RingOptions::piece_bytes
constexpr int kPollMs = 1000;

[[noreturn]] void Give(const char* what) {
  std::perror(what);
  std::exit(2);
}

struct Pair {
  UniqueFd a, b;
};

Pair Connected() {
  const UniqueFd listener(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener.get(), generic, size) != 0 || listen(listener.get(), 1) != 0) Give("listen");
  if (getsockname(listener.get(), generic, &size) != 0) Give("getsockname");
  Pair pair{UniqueFd(socket(AF_INET, SOCK_STREAM, 0)), {}};
  if (connect(pair.a.get(), generic, size) != 0) Give("connect");
  pair.b = UniqueFd(accept(listener.get(), nullptr, nullptr));
  if (!pair.b) Give("accept");
  TuneSocket(pair.a.get(), kLinkSilence);
  TuneSocket(pair.b.get(), kLinkSilence);
  return pair;
}

// One member: `bytes` out and in, over as many sockets as there are, a share on each.
class Member {
 public:
  Member(std::size_t bytes, std::vector<int> out, std::vector<int> in)
      : share_(bytes / out.size()), out_(std::move(out)), in_(std::move(in)) {
    sent_.resize(out_.size());
    received_.resize(in_.size());
  }

  void Exchange() {
    while (Pending(sent_) || Pending(received_)) {
      bool moved = false;
      for (std::size_t i = 0; i < out_.size(); ++i) moved |= Send(i);
      for (std::size_t i = 0; i < in_.size(); ++i) moved |= Receive(i);
      if (!moved) Wait();
    }
  }

 private:
  bool Pending(const std::vector<std::size_t>& done) const {
    return std::ranges::any_of(done, [&](std::size_t n) { return n < share_; });
  }
  bool Send(std::size_t i) {
    const std::size_t size = std::min(kPiece, share_ - sent_[i]);
    if (size == 0) return false;
    const ssize_t n = send(out_[i], mine_.data(), size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN) Give("send");
    if (n > 0) sent_[i] += static_cast<std::size_t>(n);
    return n > 0;
  }
  bool Receive(std::size_t i) {
    const std::size_t size = std::min(kPiece, share_ - received_[i]);
    if (size == 0) return false;
    const ssize_t n = recv(in_[i], scratch_.data(), size, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) Give("recv");
    if (n < 0) return false;
    Combine(ReduceOp::kSum, ElementType::kInt64, mine_.data(), scratch_.data(), sum_.data(),
            static_cast<std::size_t>(n) / sizeof(std::int64_t));
    received_[i] += static_cast<std::size_t>(n);
    return true;
  }
  void Wait() const {
    std::vector<pollfd> fds;
    for (std::size_t i = 0; i < out_.size(); ++i) {
      if (sent_[i] < share_) fds.push_back({out_[i], POLLOUT, 0});
    }
    for (std::size_t i = 0; i < in_.size(); ++i) {
      if (received_[i] < share_) fds.push_back({in_[i], POLLIN, 0});
    }
    if (poll(fds.data(), fds.size(), kPollMs) < 0) Give("poll");
  }

  std::size_t share_;
  std::vector<int> out_, in_;
  std::vector<std::size_t> sent_, received_;
  std::vector<std::byte> mine_ = std::vector<std::byte>(kPiece);
  std::vector<std::byte> scratch_ = std::vector<std::byte>(kPiece);
  std::vector<std::byte> sum_ = std::vector<std::byte>(kPiece);
};

// GB/s a direction.
double Once(std::size_t bytes, std::size_t sockets) {
  std::vector<Pair> there(sockets), back(sockets);
  std::vector<int> there_a, there_b, back_a, back_b;
  for (std::size_t i = 0; i < sockets; ++i) {
    there[i] = Connected();
    back[i] = Connected();
    there_a.push_back(there[i].a.get());
    there_b.push_back(there[i].b.get());
    back_a.push_back(back[i].a.get());
    back_b.push_back(back[i].b.get());
  }
  Member one(bytes, there_a, back_b), other(bytes, back_a, there_b);
  const base::Time begun = Now();
  {
    const std::jthread beside([&] { other.Exchange(); });
    one.Exchange();
  }
  return static_cast<double>(bytes) / 1e9 / base::ToSeconds(Now() - begun);
}

int Usage() {
  std::fputs(
      "usage: socket_bench [--megabytes N] [--rounds N]\n"
      "  megabytes a direction and round, 1 to 4096 (256); rounds 1 to 1000 (15)\n",
      stderr);
  return 2;
}

int Main(int argc, char** argv) {
  std::size_t megabytes = 256;
  int rounds = 15;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    const int value = i + 1 < argc ? std::atoi(argv[i + 1]) : 0;
    if (name == "--megabytes" && value >= 1 && value <= 4096) {
      megabytes = static_cast<std::size_t>(value);
    } else if (name == "--rounds" && value >= 1 && value <= 1000) {
      rounds = value;
    } else {
      return Usage();
    }
  }
  std::map<std::size_t, std::vector<double>> rates;
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t sockets : {1, 2, 4}) {
      rates[sockets].push_back(Once(megabytes << 20, sockets));
    }
  }
  std::printf("%zu MiB a direction, %d rounds each\n", megabytes, rounds);
  std::printf("  %-8s %12s %12s %8s\n", "sockets", "median GB/s", "best GB/s", "ratio");
  double single = 0;
  for (auto& [sockets, rate] : rates) {
    std::ranges::sort(rate);
    const double median = rate[rate.size() / 2];
    if (sockets == 1) single = median;
    std::printf("  %-8zu %12.2f %12.2f %8.2f\n", sockets, median, rate.back(), median / single);
  }
  return 0;
}

}  // namespace
}  // namespace muster::comm

int main(int argc, char** argv) { return muster::comm::Main(argc, argv); }

// Listeners and rings of several members in one process, plain or with TLS, for the tests of this
// folder.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "operator/base/rng.h"
#include "tests/worker/comm/papers.h"
#include "worker/comm/listener.h"
#include "worker/comm/ring.h"

namespace muster::comm {

enum class Wire { kPlain, kTls };
inline std::string WireName(const testing::TestParamInfo<Wire>& info) {
  return info.param == Wire::kPlain ? "Plain" : "Tls";
}

inline base::Time In(int milliseconds) { return Now() + std::chrono::milliseconds(milliseconds); }

inline std::unique_ptr<DataListener> MakeListener(const std::string& job = "job-1",
                                                  const std::string& token = "secret",
                                                  std::vector<std::string>* refusals = nullptr,
                                                  Tls* tls = nullptr) {
  ListenerOptions options;
  options.job_uid = job;
  options.token = token;
  options.tls = tls;
  if (refusals != nullptr) {
    options.on_refused = [refusals](const std::string& s) { refusals->push_back(s); };
  }
  auto listener = DataListener::Create(std::move(options));
  EXPECT_TRUE(listener.ok()) << listener.status();
  return std::move(listener).value();
}

// A connection on which nothing is said yet, to `to` at `address`: as `who` where there is TLS.
inline Channel Open(const std::string& address, Tls* who = nullptr, base::MemberId to = {}) {
  AbortFlag never;
  auto fd = Connect(address, In(5000), never);
  EXPECT_TRUE(fd.ok()) << fd.status();
  if (!fd.ok()) return Channel();
  if (who == nullptr) return Channel(*std::move(fd));
  auto channel = who->Begin(*std::move(fd), to);
  EXPECT_TRUE(channel.ok()) << channel.status();
  return channel.ok() ? *std::move(channel) : Channel();
}

// n members on loopback; rank i is member i.0.
class Cluster {
 public:
  explicit Cluster(std::size_t n, Wire wire = Wire::kPlain,
                   std::uint64_t key_bytes = Tls::Options().key_bytes) {
    if (wire == Wire::kTls) authority = MakeTestAuthority();
    for (std::size_t i = 0; i < n; ++i) {
      const base::MemberId member{static_cast<std::int32_t>(i), 0};
      Tls* const tls = As(member, key_bytes);
      listeners.push_back(MakeListener("job-1", "secret", nullptr, tls));
      peers.push_back({member, listeners.back()->address()});
    }
  }

  // Papers of a member of this job; null on a plain wire.
  Tls* As(base::MemberId member, std::uint64_t key_bytes = Tls::Options().key_bytes) {
    if (authority.key_pem.empty()) return nullptr;
    papers.push_back(std::make_unique<PaperCase>(MakeLeaf(authority, member),
                                                 authority.certificate_pem, "job-1", key_bytes));
    return papers.back()->tls();
  }

  RingOptions Options(std::size_t rank, int deadline_ms = 5000) const {
    RingOptions options;
    options.listener = listeners[rank].get();
    options.epoch = epoch;
    options.rank = static_cast<std::int32_t>(rank);
    options.peers = peers;
    options.deadline = In(deadline_ms);
    options.socket_buffer_bytes = socket_buffer_bytes;
    options.link_silence = link_silence;
    return options;
  }

  void Connect() {
    rings.clear();
    rings.resize(peers.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < peers.size(); ++i) {
      threads.emplace_back([this, i] {
        auto connected = Ring::Connect(Options(i));
        EXPECT_TRUE(connected.status.ok()) << connected.status;
        rings[i] = std::move(connected.ring);
      });
    }
    for (auto& thread : threads) thread.join();
  }

  base::Epoch epoch{1};
  int socket_buffer_bytes = 0;
  base::Duration link_silence = kLinkSilence;
  runtime::Identity authority;                     // empty on a plain wire
  std::vector<std::unique_ptr<PaperCase>> papers;  // the members', by rank, then others
  std::vector<std::unique_ptr<DataListener>> listeners;
  std::vector<RingPeer> peers;
  std::vector<std::unique_ptr<Ring>> rings;
};

// Polls to the end, at most ten seconds.
inline absl::Status Finish(Ring& ring) {
  const base::Time until = In(10000);
  while (Now() < until) {
    if (auto status = ring.Poll(std::chrono::milliseconds(100))) return *status;
  }
  return base::DeadlineExceeded("the reduction never ended");
}

template <typename T>
absl::Status AllReduce(Ring& ring, ReduceOp op, ElementType type, const std::vector<T>& in,
                       std::vector<T>& out) {
  MUSTER_RETURN_IF_ERROR(ring.BeginAllReduce(
      {op, type, std::as_bytes(std::span(in)), std::as_writable_bytes(std::span(out))}));
  return Finish(ring);
}

// Every member reduces `count` elements, and has what their sums or maxima are.
template <typename T>
void Check(Cluster& cluster, ReduceOp op, ElementType type, std::size_t count) {
  const std::size_t n = cluster.rings.size();
  std::vector<std::vector<T>> in(n, std::vector<T>(count));
  std::vector<T> expected(count);
  base::SplitMix rng(count * 7 + n);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t r = 0; r < n; ++r) {
      // Small floats, so that their sums are exact in any order; integers use all their bits and
      // wrap.
      in[r][i] = type == ElementType::kFloat32
                     ? static_cast<T>(static_cast<int>(rng.Below(2001)) - 1000)
                     : static_cast<T>(rng.Next());
      using U = std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>,
                                   std::type_identity<T>>::type;
      expected[i] = r == 0 ? in[r][i]
                    : op == ReduceOp::kSum
                        ? static_cast<T>(static_cast<U>(expected[i]) + static_cast<U>(in[r][i]))
                        : std::max(expected[i], in[r][i]);
    }
  }
  const auto untouched = in;
  std::vector<std::vector<T>> out(n, std::vector<T>(count, T{77}));
  std::vector<std::thread> threads;
  for (std::size_t r = 0; r < n; ++r) {
    threads.emplace_back([&, r] {
      const auto status = AllReduce(*cluster.rings[r], op, type, in[r], out[r]);
      EXPECT_TRUE(status.ok()) << status;
    });
  }
  for (auto& thread : threads) thread.join();
  for (std::size_t r = 0; r < n; ++r) {
    EXPECT_EQ(out[r], expected) << "n " << n << " rank " << r << " count " << count;
    EXPECT_EQ(in[r], untouched[r]) << "reductions are out of place (M4)";
  }
}

}  // namespace muster::comm

// Listeners and rings of several members in one process, for the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "worker/comm/listener.h"
#include "worker/comm/ring.h"

namespace muster::comm {

inline base::Time In(int milliseconds) { return Now() + std::chrono::milliseconds(milliseconds); }

inline std::unique_ptr<DataListener> MakeListener(const std::string& job = "job-1",
                                                  const std::string& token = "secret",
                                                  std::vector<std::string>* refusals = nullptr) {
  ListenerOptions options;
  options.job_uid = job;
  options.token = token;
  if (refusals != nullptr) {
    options.on_refused = [refusals](const std::string& s) { refusals->push_back(s); };
  }
  auto listener = DataListener::Create(std::move(options));
  EXPECT_TRUE(listener.ok()) << listener.status();
  return std::move(listener).value();
}

// n members on loopback; rank i is member i.0.
class Cluster {
 public:
  explicit Cluster(std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      listeners.push_back(MakeListener());
      peers.push_back({{static_cast<std::int32_t>(i), 0}, listeners.back()->address()});
    }
  }

  RingOptions Options(std::size_t rank, int deadline_ms = 5000) const {
    RingOptions options;
    options.listener = listeners[rank].get();
    options.epoch = epoch;
    options.rank = static_cast<std::int32_t>(rank);
    options.peers = peers;
    options.deadline = In(deadline_ms);
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

}  // namespace muster::comm

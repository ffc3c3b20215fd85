// The members' streams of a cluster: operator/rpc's gate, with tokens reviewed by the API server and
// keys that are kept fresh.
//
// Safe from every thread; what is delivered comes on gRPC's threads.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "operator/app/leadership.h"
#include "operator/rpc/gate.h"
#include "operator/runtime/clock.h"
#include "operator/runtime/log.h"
#include "operator/runtime/metrics.h"

namespace muster::app {

struct GateStreamsOptions {
  std::string address;  // HOST:PORT
  rpc::GateKeys keys;   // to begin with
  // Asked every `refresh`, on a thread of its own; it may block.
  std::function<absl::StatusOr<rpc::GateKeys>()> fresh_keys;
  base::Duration refresh = std::chrono::seconds(60);
  int review_threads = 8;
  const runtime::Clock& clock;
  const runtime::Logger& log;
  runtime::Metrics* metrics = nullptr;  // may be null
};

absl::StatusOr<std::unique_ptr<StreamServer>> MakeGateStreams(GateStreamsOptions options,
                                                              StreamCallbacks callbacks);

}  // namespace muster::app

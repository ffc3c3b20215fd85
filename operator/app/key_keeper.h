// What the membership server shows, signs with and believes, kept fresh while this process leads.
//
// Refresh blocks for requests and is called by one thread; the rest is safe from every thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "operator/app/authority.h"
#include "operator/rpc/gate.h"
#include "operator/runtime/clock.h"
#include "operator/runtime/mutex.h"

namespace muster::app {

class KeyKeeper final {
 public:
  struct Options {
    const kube::Client& client;
    const runtime::Clock& clock;
    std::string ns;                      // of the Secret
    std::vector<std::string> addresses;  // HOST:PORT that members dial
    std::function<bool()> may_write;
    AuthorityPolicy policy = {};
    base::Duration server_life = std::chrono::hours(24);
  };
  explicit KeyKeeper(Options options) : options_(std::move(options)) {}

  // What there is after a look at the Secret and at the clock.
  absl::StatusOr<rpc::GateKeys> Refresh();
  // Whom members believe; empty before the first Refresh.
  std::string Bundle() const;

 private:
  absl::Status RefreshServer(const Authorities& authorities, base::WallTime now);

  const Options options_;
  rpc::GateKeys keys_;
  base::WallTime server_due_;  // when the server's leaf is replaced
  mutable runtime::Mutex mutex_;
  std::string bundle_ MUSTER_GUARDED_BY(mutex_);
};

// The names and addresses that a server's certificate must have for these to be dialled.
runtime::ServerNames NamesOf(const std::vector<std::string>& addresses);

}  // namespace muster::app

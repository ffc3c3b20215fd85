// What a client shows an API server, and where that comes from when it changes while we run.
//
// Sources are safe from every thread. Current() is asked before each request: it is quick while
// what it last gave is good, and reads a file or runs a program when it is not.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "operator/base/status.h"
#include "operator/base/time.h"
#include "operator/runtime/clock.h"

namespace muster::kube {

struct Access {
  std::string ca_pem;           // empty: the machine's own roots
  std::string certificate_pem;  // with key_pem: the client's certificate; empty: none
  std::string key_pem;
  std::string token;  // empty: none
  friend bool operator==(const Access&, const Access&) = default;
};

class AccessSource {
 public:
  virtual ~AccessSource() = default;
  virtual absl::StatusOr<std::shared_ptr<const Access>> Current() = 0;
  // The server answered 401 to `refused`: what is kept of it is no good any more.
  virtual void Refused(const Access& refused) = 0;
};

// The same for ever.
std::unique_ptr<AccessSource> MakeStaticAccess(Access access);

// Each path that is not empty is read in place of the value; the files are read again after
// kFileRefresh, because a kubelet and certificate agents replace them in place.
struct AccessFiles {
  std::string ca;
  std::string certificate;
  std::string key;
  std::string token;
};
inline constexpr base::Duration kFileRefresh = std::chrono::seconds(10);

// `fixed` has what comes from no file. While a file cannot be read, what was read last stays good;
// a first read that fails is an error which names the path. `clock` outlives it.
absl::StatusOr<std::unique_ptr<AccessSource>> MakeFileAccess(Access fixed, AccessFiles files,
                                                             const runtime::Clock& clock);

}  // namespace muster::kube

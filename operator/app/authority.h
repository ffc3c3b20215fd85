// The operator's certificate authorities: which there are, which signs, whom members believe.
//
// They live in one Secret of the operator's own namespace, made by the first leader (a chart that
// rendered it would replace it at each upgrade). A new one is made when the newest has lived two
// thirds of its life; it signs only after everybody has had time to hear of it, and an old one is
// believed to its own end. So a rotation needs no moment at which all change at once.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "operator/base/status.h"
#include "operator/base/time.h"
#include "operator/kube/client.h"
#include "operator/runtime/certificates.h"

namespace muster::app {

struct AuthorityPolicy {
  base::Duration life = std::chrono::hours(24 * 365);
  // From being made until it signs: a bundle reaches members with a stream at once, a pod's mounted
  // ConfigMap within two minutes.
  base::Duration spread = std::chrono::minutes(10);
};

// Oldest first. Pure but for the keys that it makes.
class Authorities {
 public:
  Authorities() = default;
  // InvalidArgument: what is stored is no authority, or its key is another's.
  static absl::StatusOr<Authorities> Parse(const std::map<std::string, std::string>& data);
  std::map<std::string, std::string> Data() const;

  // Drops what is over and makes what is due. True: something changed, and has to be stored before
  // it is used.
  absl::StatusOr<bool> Advance(const AuthorityPolicy& policy, base::WallTime now);

  // Which signs at `now`; there is one after Advance.
  const runtime::Identity& Signer(const AuthorityPolicy& policy, base::WallTime now) const;
  // Whom members believe.
  absl::StatusOr<std::string> Bundle(base::WallTime now) const;
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    runtime::Identity identity;
    base::WallTime from;
    base::WallTime until;
  };
  std::vector<Entry> entries_;
};

inline constexpr char kAuthoritySecret[] = "muster-ca";

// Reads the Secret, advances it, and stores what changed by compare-and-swap. Blocks. Aborted: some
// other process has written it meanwhile; try again.
absl::StatusOr<Authorities> LoadAuthorities(const kube::Client& client, const std::string& ns,
                                            const AuthorityPolicy& policy, base::WallTime now);

}  // namespace muster::app

#include "operator/app/key_keeper.h"

#include <arpa/inet.h>

#include <algorithm>

namespace muster::app {
namespace {

bool IsAddress(const std::string& host) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, host.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

}  // namespace

runtime::ServerNames NamesOf(const std::vector<std::string>& addresses) {
  runtime::ServerNames names;
  for (const std::string& address : addresses) {
    std::string host = address.substr(0, address.rfind(':'));
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    std::vector<std::string>& kind = IsAddress(host) ? names.ip_addresses : names.dns_names;
    if (std::ranges::find(kind, host) == kind.end()) kind.push_back(host);
  }
  return names;
}

absl::StatusOr<rpc::GateKeys> KeyKeeper::Refresh() {
  if (!options_.may_write()) return base::Unavailable("this process does not lead");
  const base::WallTime now = options_.clock.WallNow();
  MUSTER_ASSIGN_OR_RETURN(const Authorities authorities,
                          LoadAuthorities(options_.client, options_.ns, options_.policy, now));
  MUSTER_ASSIGN_OR_RETURN(keys_.ca_bundle_pem, authorities.Bundle(now));
  const runtime::Identity& signer = authorities.Signer(options_.policy, now);
  if (signer != keys_.authority || now >= server_due_) {
    MUSTER_RETURN_IF_ERROR(RefreshServer(authorities, now));
  }
  keys_.authority = signer;
  runtime::MutexLock lock(mutex_);
  bundle_ = keys_.ca_bundle_pem;
  return keys_;
}

absl::Status KeyKeeper::RefreshServer(const Authorities& authorities, base::WallTime now) {
  const runtime::Validity validity = runtime::ValidFor(now, options_.server_life);
  MUSTER_ASSIGN_OR_RETURN(keys_.server,
                          runtime::IssueServer(authorities.Signer(options_.policy, now),
                                               NamesOf(options_.addresses), validity));
  // A leaf ends with its authority, if that is sooner.
  MUSTER_ASSIGN_OR_RETURN(const runtime::CertificateInfo info,
                          runtime::ReadCertificate(keys_.server.certificate_pem));
  server_due_ = runtime::WhenToRenew(info.not_before, info.not_after, 0);
  return absl::OkStatus();
}

std::string KeyKeeper::Bundle() const {
  runtime::MutexLock lock(mutex_);
  return bundle_;
}

}  // namespace muster::app

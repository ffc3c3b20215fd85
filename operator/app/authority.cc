#include "operator/app/authority.h"

#include <algorithm>
#include <utility>

#include "operator/base/check.h"
#include "operator/kube/secret.h"

namespace muster::app {
namespace {

// "0.crt", "0.key": so many a Secret holds at once, and far more than there ever are.
constexpr int kMost = 16;

std::string Name(int index, const char* what) { return std::to_string(index) + "." + what; }

}  // namespace

absl::StatusOr<Authorities> Authorities::Parse(const std::map<std::string, std::string>& data) {
  Authorities out;
  for (int i = 0; i < kMost; ++i) {
    const auto certificate = data.find(Name(i, "crt"));
    const auto key = data.find(Name(i, "key"));
    if (certificate == data.end() || key == data.end()) continue;
    const std::string where = "Secret " + std::string(kAuthoritySecret) + ", " + Name(i, "crt");
    runtime::Identity identity{certificate->second, key->second};
    auto info = runtime::ReadCertificate(identity.certificate_pem);
    if (!info.ok()) return base::Annotate(info.status(), where);
    if (!info->is_authority) return base::InvalidArgument(where + " is no authority's");
    if (auto pair = runtime::CheckPair(identity); !pair.ok()) return base::Annotate(pair, where);
    out.entries_.push_back({std::move(identity), info->not_before, info->not_after});
  }
  std::ranges::stable_sort(out.entries_, {}, &Entry::from);
  return out;
}

std::map<std::string, std::string> Authorities::Data() const {
  std::map<std::string, std::string> data;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    data[Name(static_cast<int>(i), "crt")] = entries_[i].identity.certificate_pem;
    data[Name(static_cast<int>(i), "key")] = entries_[i].identity.key_pem;
  }
  return data;
}

absl::StatusOr<bool> Authorities::Advance(const AuthorityPolicy& policy, base::WallTime now) {
  bool changed = std::erase_if(entries_, [now](const Entry& e) { return e.until <= now; }) > 0;
  if (!entries_.empty()) {
    const Entry& newest = entries_.back();
    if (now < runtime::WhenToRenew(newest.from, newest.until, 0)) return changed;
  }
  const runtime::Validity validity = runtime::ValidFor(now, policy.life);
  MUSTER_ASSIGN_OR_RETURN(runtime::Identity made, runtime::MakeAuthority("muster", validity));
  entries_.push_back({std::move(made), validity.from, validity.until});
  return true;
}

const runtime::Identity& Authorities::Signer(const AuthorityPolicy& policy,
                                             base::WallTime now) const {
  MUSTER_CHECK(!entries_.empty(), "nobody signs before Advance");
  // The newest that everybody has heard of; at first nobody has heard of any.
  const Entry* chosen = &entries_.front();
  for (const Entry& entry : entries_) {
    if (entry.from + runtime::kClockSkew + policy.spread <= now) chosen = &entry;
  }
  return chosen->identity;
}

absl::StatusOr<std::string> Authorities::Bundle(base::WallTime now) const {
  std::vector<std::string> certificates;
  for (const Entry& entry : entries_) certificates.push_back(entry.identity.certificate_pem);
  return runtime::MakeBundle(certificates, now);
}

absl::StatusOr<Authorities> LoadAuthorities(const kube::Client& client, const std::string& ns,
                                            const AuthorityPolicy& policy, base::WallTime now) {
  const kube::ObjectKey key{ns, kAuthoritySecret};
  kube::SecretData secret;
  const auto stored = client.Get(kube::kSecrets, key);
  if (stored.ok()) {
    MUSTER_ASSIGN_OR_RETURN(secret, kube::ParseSecret(*stored));
  } else if (stored.status().code() != absl::StatusCode::kNotFound) {
    return stored.status();
  }
  MUSTER_ASSIGN_OR_RETURN(Authorities authorities, Authorities::Parse(secret.data));
  MUSTER_ASSIGN_OR_RETURN(const bool changed, authorities.Advance(policy, now));
  if (!changed) return authorities;
  secret.data = authorities.Data();
  const std::string body = kube::SecretBody(key, secret);
  if (secret.version.empty()) {
    const auto made = client.Create(kube::kSecrets, ns, body);
    if (made.status().code() == absl::StatusCode::kAlreadyExists) {
      return absl::AbortedError("another process has just made Secret " + kube::ToString(key));
    }
    MUSTER_RETURN_IF_ERROR(made.status());
  } else {
    MUSTER_RETURN_IF_ERROR(client.Replace(kube::kSecrets, key, body).status());
  }
  return authorities;
}

}  // namespace muster::app

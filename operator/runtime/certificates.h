// Certificates of the membership stream and the ring: who signs, who is signed, who is believed.
// Values in and out, as PEM; OpenSSL stays behind this header.
//
// Thread rule: functions of their arguments, and of the kernel's randomness where a key or a serial
// number is made; safe from every thread. Every key is of the curve P-256, and every signature is
// ECDSA with SHA-256. Invariants: a private key leaves the function that made it and nothing else;
// of a request only its public key counts, so whoever asks cannot choose what is said of it; a leaf
// never outlives the authority that signed it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "operator/api/member_uri.h"
#include "operator/base/status.h"
#include "operator/base/time.h"

namespace muster::runtime {

// How long a member's leaf lives, and by how much a new certificate's beginning lies back: clocks
// of a cluster differ.
inline constexpr base::Duration kLeafLife = std::chrono::hours(24);
inline constexpr base::Duration kClockSkew = std::chrono::minutes(5);

// A certificate, perhaps followed by those that vouch for it, and the key of the first.
struct Identity {
  std::string certificate_pem;
  std::string key_pem;
  friend bool operator==(const Identity&, const Identity&) = default;
};

struct Request {
  std::string request_pem;
  std::string key_pem;
};

// Both ends belong to it; whole seconds count. Make... refuse one that ends before it begins.
struct Validity {
  base::WallTime from;
  base::WallTime until;
};
// From a clock skew before `now`, for `life` after it.
Validity ValidFor(base::WallTime now, base::Duration life);

struct ServerNames {
  std::vector<std::string> dns_names;     // of Services and hosts; a wildcard is refused
  std::vector<std::string> ip_addresses;  // IPv4 or IPv6, without brackets
};

struct CertificateInfo {
  std::string subject;            // its common name
  std::vector<std::string> uris;  // subject alternative names, by kind
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;
  base::WallTime not_before;
  base::WallTime not_after;
  bool is_authority = false;
  std::string fingerprint;  // SHA-256 of the certificate, hexadecimal
};

// ---- made by the coordinator

// Signs itself, and leaves alone (no further authorities). Two of one name can be told apart: the
// common name ends in random digits, and both carry key identifiers.
absl::StatusOr<Identity> MakeAuthority(const std::string& name, Validity validity);

// What the coordinator shows: good for a TLS server with these names and for nothing else.
absl::StatusOr<Identity> IssueServer(const Identity& authority, const ServerNames& names,
                                     Validity validity);

// What a member shows, to the coordinator and on the ring to either side: good for both ends of
// TLS, and for no host's name. InvalidArgument: the request is no request, its signature does not
// hold (who asks does not have the key), its key is not of P-256, or the job's uid cannot be
// written.
absl::StatusOr<std::string> SignMember(const Identity& authority, const std::string& request_pem,
                                       const api::JobMember& who, Validity validity);

// One text of all these authorities, each once, without those that are no longer valid at `now`.
// InvalidArgument: a text without a certificate, a certificate that is no authority's, or nothing
// left.
absl::StatusOr<std::string> MakeBundle(const std::vector<std::string>& authorities_pem,
                                       base::WallTime now);

// ---- made by a member

absl::StatusOr<Request> MakeRequest();

// ---- read by everyone

// The first certificate of a chain.
absl::StatusOr<CertificateInfo> ReadCertificate(const std::string& certificate_pem);

// Whom a member's leaf speaks for. InvalidArgument when it says that of nobody, or of more than
// one.
absl::StatusOr<api::JobMember> ReadMember(const std::string& certificate_pem);

// OK when the key is the certificate's.
absl::Status CheckPair(const Identity& identity);

enum class Purpose { kAny, kServer, kClient };
// OK when an authority of the bundle vouches for the chain's first certificate at `now` and for
// this purpose; otherwise a sentence with OpenSSL's reason. Whom it speaks for is not looked at.
absl::Status Verify(const std::string& chain_pem, const std::string& bundle_pem, Purpose purpose,
                    base::WallTime now);

// When to replace a certificate that is good from `from` (or was received then) to `until`: after
// two thirds of that time, or by up to a tenth of it earlier as `jitter` goes from 0 to 1, so that
// the members of a large job do not all ask at once.
base::WallTime WhenToRenew(base::WallTime from, base::WallTime until, double jitter);

}  // namespace muster::runtime

#include "worker/rpc/credentials.h"

#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "operator/runtime/clock.h"

namespace muster::rpc {
namespace {

using runtime::MutexLock;

constexpr base::Duration kPatience = std::chrono::seconds(10);
// A token has some 1,200 bytes, a bundle as much: who mounts something else is told so.
constexpr std::size_t kLargestFile = 1 << 16;

absl::StatusOr<std::string> ReadSmallFile(const std::string& path, const std::string& what) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return base::Unavailable(what + " '" + path + "' cannot be opened");
  std::string text(kLargestFile + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return base::Unavailable(what + " '" + path + "' cannot be read");
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kLargestFile) {
    return base::InvalidArgument(what + " '" + path + "' has more than " +
                                 std::to_string(kLargestFile) + " bytes");
  }
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Credentials>> Credentials::Create(Options options) {
  if (options.token.empty() == options.token_file.empty()) {
    return base::InvalidArgument("exactly one of a token and a token file is needed");
  }
  if (!options.token_file.empty() && options.ca_file.empty()) {
    return base::InvalidArgument(
        "a token file needs a CA file: a cluster's token is not sent in plain text");
  }
  return std::unique_ptr<Credentials>(new Credentials(std::move(options)));
}

Credentials::Credentials(Options options) : options_(std::move(options)) {}

absl::StatusOr<std::string> Credentials::Token() const {
  if (!options_.token.empty()) return options_.token;
  MUSTER_ASSIGN_OR_RETURN(const std::string text,
                          ReadSmallFile(options_.token_file, "the token file"));
  constexpr const char* kSpace = " \t\r\n";
  const auto begin = text.find_first_not_of(kSpace);
  if (begin == std::string::npos) {
    return base::Unavailable("the token file '" + options_.token_file + "' is empty");
  }
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

absl::StatusOr<std::string> Credentials::Believed() const {
  MUSTER_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(options_.ca_file, "the CA file"));
  std::vector<std::string> parts = {text};
  {
    MutexLock lock(mutex_);
    if (!sent_bundle_.empty()) parts.push_back(sent_bundle_);
  }
  auto bundle = runtime::MakeBundle(parts, runtime::RealClock().WallNow());
  return bundle.ok() ? std::move(bundle)
                     : base::Annotate(bundle.status(), "the CA file '" + options_.ca_file + "'");
}

std::shared_ptr<const runtime::Identity> Credentials::Current(base::WallTime now) const {
  MutexLock lock(mutex_);
  return now < expires_ ? current_ : nullptr;
}

bool Credentials::IsDue(base::WallTime now) const {
  if (!tls() || (asked_ && now - *asked_ < kPatience)) return false;
  return current_ == nullptr || now >= renew_;
}

bool Credentials::Due(base::WallTime now) const {
  MutexLock lock(mutex_);
  return IsDue(now);
}

bool Credentials::BeginAsking(base::WallTime now) {
  MutexLock lock(mutex_);
  if (!IsDue(now)) return false;
  asked_ = now;
  return true;
}

void Credentials::OnStream(bool shown) {
  MutexLock lock(mutex_);
  asked_.reset();
  if (!shown) renew_ = base::WallTime::min();
}

absl::StatusOr<api::CertificateRequest> Credentials::Ask(base::WallTime now) {
  MUSTER_ASSIGN_OR_RETURN(runtime::Request request, runtime::MakeRequest());
  MutexLock lock(mutex_);
  pending_key_ = std::move(request.key_pem);
  asked_ = now;
  return api::CertificateRequest{std::move(request.request_pem)};
}

absl::Status Credentials::Take(const api::Certificate& certificate, base::WallTime now,
                               double jitter) {
  if (auto bundle = runtime::MakeBundle({certificate.ca_bundle_pem}, now); !bundle.ok()) {
    return base::Annotate(bundle.status(), "the bundle that the coordinator sent");
  }
  MutexLock lock(mutex_);
  if (!certificate.chain_pem.empty()) {
    runtime::Identity identity{certificate.chain_pem, pending_key_};
    MUSTER_RETURN_IF_ERROR(
        base::Annotate(runtime::CheckPair(identity), "the certificate that the coordinator sent"));
    MUSTER_ASSIGN_OR_RETURN(const auto info, runtime::ReadCertificate(certificate.chain_pem));
    current_ = std::make_shared<const runtime::Identity>(std::move(identity));
    expires_ = info.not_after;
    // Its life here begins now: its own beginning lies back by the clocks' difference.
    renew_ = runtime::WhenToRenew(now, info.not_after, jitter);
    pending_key_.clear();
    asked_.reset();
  }
  sent_bundle_ = certificate.ca_bundle_pem;
  return absl::OkStatus();
}

}  // namespace muster::rpc

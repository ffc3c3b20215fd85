#include "operator/kube/exec_access.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "operator/api/quantity.h"
#include "operator/kube/child_output.h"
#include "operator/kube/json.h"
#include "operator/kube/kubeconfig_fields.h"
#include "operator/runtime/mutex.h"

namespace muster::kube {
namespace {

// Asked for again a little early, so that no request is on its way with what has just expired.
constexpr base::Duration kEarly = std::chrono::seconds(10);

class ExecAccess final : public AccessSource {
 public:
  ExecAccess(ExecOptions options, const runtime::Clock& clock)
      : options_(std::move(options)), clock_(clock) {}

  absl::StatusOr<std::shared_ptr<const Access>> Current() override {
    MUSTER_ASSIGN_OR_RETURN(const std::shared_ptr<const Access> rest, options_.rest->Current());
    runtime::MutexLock lock(mutex_);
    const bool expired = expires_ && clock_.WallNow() + kEarly >= *expires_;
    if (credential_ && !expired) {
      if (Access access = Joined(*rest, *credential_); !current_ || *current_ != access) {
        current_ = std::make_shared<const Access>(std::move(access));
      }
      return current_;
    }
    MUSTER_ASSIGN_OR_RETURN(ExecCredential fresh, Run(*rest));
    expires_ = fresh.expires;
    credential_ = std::move(fresh);
    current_ = std::make_shared<const Access>(Joined(*rest, *credential_));
    return current_;
  }

  void Refused(const Access& refused) override {
    options_.rest->Refused(refused);
    runtime::MutexLock lock(mutex_);
    // Of many requests that are refused together only the first makes the program run.
    if (current_ && *current_ == refused) credential_.reset();
  }

 private:
  static Access Joined(const Access& rest, const ExecCredential& credential) {
    Access access = rest;
    access.token = credential.token;
    access.certificate_pem = credential.certificate_pem;
    access.key_pem = credential.key_pem;
    return access;
  }

  absl::StatusOr<ExecCredential> Run(const Access& rest) const {
    ChildProgram program;
    program.command = options_.exec.command;
    program.args = options_.exec.args;
    program.env = options_.exec.env;
    program.env.emplace_back("KUBERNETES_EXEC_INFO",
                             ExecInfo(options_.exec, options_.cluster, rest.ca_pem));
    const std::string who = "user '" + options_.user + "': exec";
    const absl::StatusOr<std::string> output = OutputOf(program, options_.deadline, kExecMostBytes);
    if (!output.ok()) {
      const std::string hint =
          options_.exec.install_hint.empty() ? "" : "\n" + options_.exec.install_hint;
      return absl::Status(output.status().code(),
                          base::av(who + ": " + base::Message(output.status()) + hint));
    }
    return ParseExecCredential(*output, options_.exec, options_.user);
  }

  const ExecOptions options_;
  const runtime::Clock& clock_;
  runtime::Mutex mutex_;
  std::optional<ExecCredential> credential_ MUSTER_GUARDED_BY(mutex_);
  std::optional<base::WallTime> expires_ MUSTER_GUARDED_BY(mutex_);
  std::shared_ptr<const Access> current_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<ExecCredential> ParseExecCredential(std::string_view output, const ExecEntry& exec,
                                                   std::string_view user) {
  const std::string who = "user '" + std::string(user) + "': exec: the output of " + exec.command;
  MUSTER_ASSIGN_OR_RETURN(const Json json, ParseObject(output, who));
  const auto wrong = [&](const std::string& what) {
    return base::InvalidArgument(who + " " + what);
  };
  if (TextAt(json, {"kind"}) != "ExecCredential") return wrong("is no ExecCredential");
  if (TextAt(json, {"apiVersion"}) != exec.api_version) {
    return wrong("has apiVersion '" + TextAt(json, {"apiVersion"}) + "', not " + exec.api_version);
  }
  ExecCredential credential;
  const Json& status = At(json, {"status"});
  credential.token = TextAt(status, {"token"});
  credential.certificate_pem = TextAt(status, {"clientCertificateData"});
  credential.key_pem = TextAt(status, {"clientKeyData"});
  if (credential.certificate_pem.empty() != credential.key_pem.empty()) {
    return wrong("has one of clientCertificateData and clientKeyData without the other");
  }
  if (credential.token.empty() && credential.certificate_pem.empty()) {
    return wrong("has neither a token nor a client certificate");
  }
  if (const std::string time = TextAt(status, {"expirationTimestamp"}); !time.empty()) {
    const auto expires = api::ParseTime(time);
    if (!expires.ok()) return wrong("has expirationTimestamp '" + time + "', which is no time");
    credential.expires = *expires;
  }
  return credential;
}

std::string ExecInfo(const ExecEntry& exec, const ClusterEntry& cluster, std::string_view ca_pem) {
  Json spec = {{"interactive", false}};
  if (exec.provide_cluster_info) {
    Json described = {{"server", cluster.server}};
    if (!cluster.tls_server_name.empty()) described["tls-server-name"] = cluster.tls_server_name;
    if (cluster.insecure_skip_tls_verify) described["insecure-skip-tls-verify"] = true;
    if (!ca_pem.empty()) described["certificate-authority-data"] = EncodeBase64(ca_pem);
    spec["cluster"] = std::move(described);
  }
  return Dump(
      {{"apiVersion", exec.api_version}, {"kind", "ExecCredential"}, {"spec", std::move(spec)}});
}

std::unique_ptr<AccessSource> MakeExecAccess(ExecOptions options, const runtime::Clock& clock) {
  return std::make_unique<ExecAccess>(std::move(options), clock);
}

}  // namespace muster::kube

#include "operator/rpc/server_tls.h"

#include <utility>

#include "grpc/grpc.h"
#include "grpc/grpc_security.h"
#include "grpcpp/grpcpp.h"
#include "operator/runtime/certificates.h"
#include "operator/runtime/clock.h"

namespace muster::rpc {
namespace {

using runtime::MutexLock;

grpc_ssl_certificate_config_reload_status Answer(void* keys,
                                                 grpc_ssl_server_certificate_config** config) {
  *config = static_cast<HandshakeKeys*>(keys)->Changed();
  return *config == nullptr ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED
                            : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

// gRPC's C++ takes certificates once, when the server is made; its C core asks for them before each
// handshake. This is the C++ side of the latter.
class AskingCredentials final : public grpc::ServerCredentials {
 public:
  // A certificate is asked for, and verified where there is one. The options are the credentials'.
  explicit AskingCredentials(HandshakeKeys* keys)
      : core_(grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(
                GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY, Answer, keys))) {}
  ~AskingCredentials() override { grpc_server_credentials_release(core_); }
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), core_);
  }

  grpc_server_credentials* const core_;
};

// gRPC would only log what is wrong, and go on refusing everybody.
absl::Status Check(const ServerTls& tls) {
  MUSTER_RETURN_IF_ERROR(base::Annotate(runtime::CheckPair({tls.chain_pem, tls.key_pem}),
                                        "the coordinator's certificate"));
  const base::WallTime now = runtime::RealClock().WallNow();
  const auto bundle = runtime::MakeBundle({tls.client_ca_pem}, now);
  MUSTER_RETURN_IF_ERROR(base::Annotate(bundle.status(), "the authorities of members"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<HandshakeKeys>> HandshakeKeys::Create(ServerTls tls) {
  std::unique_ptr<HandshakeKeys> keys(new HandshakeKeys);
  MUSTER_RETURN_IF_ERROR(keys->Set(std::move(tls)));
  return keys;
}

absl::Status HandshakeKeys::Set(ServerTls tls) {
  MUSTER_RETURN_IF_ERROR(Check(tls));
  MutexLock lock(mutex_);
  tls_ = std::move(tls);
  ++version_;
  return absl::OkStatus();
}

grpc_ssl_server_certificate_config* HandshakeKeys::Changed() {
  MutexLock lock(mutex_);
  if (given_ == version_) return nullptr;
  given_ = version_;
  const grpc_ssl_pem_key_cert_pair pair = {tls_.key_pem.c_str(), tls_.chain_pem.c_str()};
  return grpc_ssl_server_certificate_config_create(tls_.client_ca_pem.c_str(), &pair, 1);
}

std::shared_ptr<grpc::ServerCredentials> HandshakeKeys::MakeCredentials() {
  return std::make_shared<AskingCredentials>(this);
}

}  // namespace muster::rpc

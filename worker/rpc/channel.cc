#include "worker/rpc/channel.h"

#include "grpcpp/grpcpp.h"
#include "operator/wire/convert.h"

namespace muster::rpc {

namespace {

std::shared_ptr<grpc::ChannelCredentials> MakeChannelCredentials(
    const std::optional<Handshake>& tls) {
  if (!tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = tls->believed_pem;
  if (tls->shown != nullptr) {
    options.pem_cert_chain = tls->shown->certificate_pem;
    options.pem_private_key = tls->shown->key_pem;
  }
  return grpc::SslCredentials(options);
}

}  // namespace

std::shared_ptr<grpc::Channel> MakeChannel(const Endpoint& endpoint,
                                           const std::optional<Handshake>& tls) {
  grpc::ChannelArguments args;
  // gRPC shares connections, and their back-off of seconds, between channels to one address: not
  // here.
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // A proxy of the environment knows neither loopback nor a cluster's pods.
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  // A coordinator whose machine vanished sends no reset; the pings find out in 3 s.
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 2000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 1000);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  args.SetMaxReceiveMessageSize(wire::kMaxFrameBytes);
  // The connection goes to one address; who must be found there has the name that was asked for.
  if (tls) args.SetSslTargetNameOverride(endpoint.name);
  return grpc::CreateCustomChannel(endpoint.target, MakeChannelCredentials(tls), args);
}

}  // namespace muster::rpc

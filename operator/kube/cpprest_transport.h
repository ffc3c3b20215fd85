// HttpTransport on cpprestsdk: the only place of the operator that opens an HTTP connection.
//
// At most `most_in_flight` exchanges at a time (the library has no bound of its own); more wait for
// their turn within their timeout, first come first served. Streams are not counted among them:
// there are as many as informers and followed logs. Connections are kept and used again.
#pragma once

#include <memory>

#include "operator/kube/config.h"
#include "operator/kube/transport.h"
#include "operator/runtime/metrics.h"

namespace muster::kube {

// First thing in main, before any thread: without it OpenSSL parses the machine's whole CA bundle
// for each new connection (33 ms of CPU), connections that are refused included.
void PrepareProcessForHttps();

struct CpprestOptions {
  std::size_t most_in_flight = 24;
  // An object has at most 1.5 MB in etcd; its watch event repeats it once, with managed fields.
  std::size_t most_line_bytes = 8 << 20;
  // Send: larger answers are an error. A list of 5,000 pods has about 10 MB.
  std::size_t most_body_bytes = 256 << 20;
  // rest_client_requests_total{code,method}, rest_client_request_duration_seconds{method}; null:
  // not counted. Outlives the transport.
  runtime::Metrics* metrics = nullptr;
};

// InvalidArgument: the server's URL or a PEM text is none.
absl::StatusOr<std::unique_ptr<HttpTransport>> MakeCpprestTransport(ClusterConfig config,
                                                                    CpprestOptions options = {});

}  // namespace muster::kube

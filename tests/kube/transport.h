// The double as a kube::HttpTransport: the operator's client on it without a socket between them.
//
// For tests that kill and restart the operator's code thousands of times. Safe from every thread.
#pragma once

#include "operator/kube/transport.h"
#include "tests/kube/api_double.h"

namespace muster::kubetest {

class DoubleTransport final : public kube::HttpTransport {
 public:
  // `api` outlives it. `user` is what its writes say in the log where they name no field manager.
  explicit DoubleTransport(ApiDouble& api, std::string user = "muster")
      : api_(api), user_(std::move(user)) {}

  absl::StatusOr<kube::HttpResponse> Send(const kube::HttpRequest& request,
                                          std::stop_token stop) override;
  absl::StatusOr<kube::HttpResponse> Stream(const kube::HttpRequest& request,
                                            const kube::OnLine& on_line,
                                            std::stop_token stop) override;

 private:
  Request Translated(const kube::HttpRequest& request) const;

  ApiDouble& api_;
  const std::string user_;
};

}  // namespace muster::kubetest

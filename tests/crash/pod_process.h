// What runs in a pod of the API-server double, and the operator beside it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/crash/workers.h"
#include "tests/kube/api_double.h"

namespace muster::crash {

// As a kubelet prepares it: the pod's token, which the double knows, and the authorities that its
// volume names, as files of `folder`. Nothing: the volume is not there yet, and holds up the pod.
std::optional<Workers::Process> PrepareProcess(const kubetest::Json& pod, kubetest::ApiDouble& api,
                                               const std::string& folder);

struct OperatorPlace {
  std::string muster;  // the program
  std::string folder;  // for its kubeconfig
  std::string host;    // an address of the loopback network, for its ports
  std::string url;     // of the API server
};
// The command line of `muster operator`; flags may follow.
std::vector<std::string> OperatorCommand(const OperatorPlace& place);

}  // namespace muster::crash

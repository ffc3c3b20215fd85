// The custom resource definition of TrainingJob, made from the tables of fields.
//
// crds/muster.dev_trainingjobs.yaml is this text (`hack/dev crd` writes it, a test compares).
// Values only.
#pragma once

#include <string>

namespace muster::api {

// What `kubectl apply` reads.
std::string CrdYaml();

}  // namespace muster::api

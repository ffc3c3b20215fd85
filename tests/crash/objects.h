// The job of a life, and how its objects are read.
#pragma once

#include <cstdint>
#include <string>

#include "operator/kube/labels.h"
#include "tests/kube/kinds.h"

namespace muster::crash {

using kubetest::Json;

inline constexpr char kJobs[] = "/apis/muster.dev/v1alpha1/namespaces/default/trainingjobs";
inline constexpr char kJob[] = "licences";
inline constexpr char kNs[] = "default";
inline constexpr std::int64_t kSteps = 150;
inline constexpr std::int32_t kSlots = 8;

inline Json At(const Json& object, const char* pointer, const Json& otherwise) {
  const Json::json_pointer at(pointer);
  return object.contains(at) ? object[at] : otherwise;
}

inline std::string Label(const Json& pod, const char* label) {
  return pod["metadata"].value("labels", Json::object()).value(label, "");
}

inline std::string OrdinalOf(const Json& pod) {
  const std::string member = Label(pod, kube::kMemberLabel);
  return member.substr(0, member.find('.'));
}

inline bool IsOver(const Json& pod) {
  const std::string phase = At(pod, "/status/phase", "");
  return phase == "Succeeded" || phase == "Failed";
}

}  // namespace muster::crash

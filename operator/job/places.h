// Which ordinals are free, and how many pods are still wanted: what replace and scale-up share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <set>

#include "operator/job/rules.h"

namespace muster::job {

struct Places {
  std::set<std::int32_t> taken;  // ordinals of active pods and of those to be created
  std::int32_t missing = 0;      // how many pods are wanted beyond `taken`
};

inline Places CountPlaces(const Observed& observed, const Draft& draft) {
  Places places;
  std::int32_t active = 0;
  for (const Pod& pod : observed.pods) {
    if (!IsActive(pod, draft)) continue;
    places.taken.insert(pod.member.ordinal);
    ++active;
  }
  for (const CreatePod& create : draft.plan.creates) places.taken.insert(create.member.ordinal);
  for (std::int32_t ordinal : draft.waiting) places.taken.insert(ordinal);
  active += static_cast<std::int32_t>(draft.plan.creates.size() + draft.waiting.size());
  // M8: with the last step committed somewhere, nobody is replaced.
  const std::int32_t wanted =
      observed.membership.finishing ? active : WantedPods(observed.job) + draft.surge;
  places.missing = std::max(0, wanted - active);
  return places;
}

}  // namespace muster::job

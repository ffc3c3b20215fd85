#include "worker/rpc/backoff.h"

#include <algorithm>

namespace muster::rpc {

base::Duration RetryDelay(int failures, base::Duration without, base::SplitMix* chance) {
  using std::chrono::milliseconds;
  constexpr base::Duration kFirst = milliseconds(20);
  const base::Duration cap =
      without < std::chrono::seconds(10) ? milliseconds(200) : milliseconds(500);
  // Past six doublings the cap holds anyhow; the bound keeps the shift defined.
  const base::Duration whole = std::min<base::Duration>(cap, kFirst * (1 << std::min(failures, 6)));
  // Half of it for certain: members that lost the same coordinator must neither storm nor sleep.
  return whole / 2 + base::Duration(chance->Below(static_cast<std::uint64_t>(whole.count() / 2)));
}

}  // namespace muster::rpc

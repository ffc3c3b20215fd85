#include "worker/nccl/state_share.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>

namespace muster::nccl {
namespace {

constexpr auto kLookAgain = std::chrono::milliseconds(20);
// As a state server's (worker/comm/state_transfer.h); what is longer is no header.
constexpr std::int64_t kMostText = std::int64_t{16} << 20;

// 0: step, 1: digest, 2 and 3: bytes of header and beside, 4: bytes of all vectors, 5: 1, there is one.
using Words = std::vector<std::int64_t>;
constexpr std::size_t kHead = 6;

// The root's words at everybody: the others give zeros, and the sum is what the root has.
absl::StatusOr<Words> FromRoot(comm::Communicator& ring, const Words& mine) {
  Words all(mine.size());
  if (mine.empty()) return all;
  comm::Reduction reduction;
  reduction.in = std::as_bytes(std::span(mine));
  reduction.out = std::as_writable_bytes(std::span(all));
  MUSTER_RETURN_IF_ERROR(ring.BeginAllReduce(reduction));
  std::optional<absl::Status> done;
  while (!done) done = ring.Poll(kLookAgain);
  MUSTER_RETURN_IF_ERROR(*done);
  return all;
}

template <typename Spans>
std::int64_t BytesIn(const Spans& spans) {
  std::int64_t bytes = 0;
  for (const auto& span : spans) bytes += static_cast<std::int64_t>(span.size());
  return bytes;
}

absl::StatusOr<StateOffer> ShareOffer(comm::Communicator& ring, const StateShare& share) {
  Words head(kHead);
  const std::string text = share.is_root ? share.offer.header + share.offer.beside : "";
  if (share.is_root) {
    head = {share.offer.step.value,
            static_cast<std::int64_t>(share.offer.digest),
            static_cast<std::int64_t>(share.offer.header.size()),
            static_cast<std::int64_t>(share.offer.beside.size()),
            BytesIn(share.in),
            1};
  }
  MUSTER_ASSIGN_OR_RETURN(const Words told, FromRoot(ring, head));
  if (told[5] != 1) return base::Unavailable("no member offered its state");
  if (std::min(told[2], told[3]) < 0 || std::max(told[2], told[3]) > kMostText) {
    return base::DataLoss("the header of an offered state has " + std::to_string(told[2]) +
                          " and " + std::to_string(told[3]) + " bytes, allowed are " +
                          std::to_string(kMostText) + " each");
  }
  const auto bytes = static_cast<std::size_t>(told[2] + told[3]);
  Words words((bytes + sizeof(std::int64_t) - 1) / sizeof(std::int64_t));
  if (!text.empty()) std::memcpy(words.data(), text.data(), text.size());
  MUSTER_ASSIGN_OR_RETURN(const Words text_words, FromRoot(ring, words));
  std::string all(bytes, '\0');
  if (bytes > 0) std::memcpy(all.data(), text_words.data(), bytes);
  // After both, so that whoever disagrees leaves nobody in the midst of a reduction.
  if (told[4] != BytesIn(share.out)) {
    return base::DataLoss("the state that is offered has " + std::to_string(told[4]) +
                          " bytes, expected are " + std::to_string(BytesIn(share.out)));
  }
  StateOffer offer;
  offer.step = base::Step(told[0]);
  offer.digest = static_cast<std::uint64_t>(told[1]);
  offer.header = all.substr(0, static_cast<std::size_t>(told[2]));
  offer.beside = all.substr(static_cast<std::size_t>(told[2]));
  return offer;
}

}  // namespace

absl::StatusOr<StateOffer> ShareState(Link& link, comm::Communicator& ring,
                                      const comm::AbortFlag& flag, const StateShare& share) {
  MUSTER_ASSIGN_OR_RETURN(StateOffer offer, ShareOffer(ring, share));
  if (share.offered) share.offered();
  for (std::size_t r = 0; r < share.out.size(); ++r) {
    const auto in = share.is_root ? share.in[r] : std::span<const std::byte>();
    MUSTER_RETURN_IF_ERROR(link.Broadcast(share.root, in, share.out[r], flag, share.progress));
  }
  return offer;
}

}  // namespace muster::nccl

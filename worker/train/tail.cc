#include "worker/train/tail.h"

#include <algorithm>
#include <bit>

#include "operator/base/rng.h"

namespace muster::train {
namespace {

enum Word : std::size_t {
  kLoss,
  kTokens,
  kChecksum,
  kNotFinite,
  kSaturated,
  kMembers,
  kViewHolders,
  kViewSum,
  kViewHashes,
  kRequestHolders,
  kRequestSum,
  kRequestHashes,
  kStopHolders
};

// True when all `members` hold one value: `holders` of them, adding up to `sum`, their hashes to
// `hashes`.
bool AllHoldSame(std::int64_t members, std::int64_t holders, std::uint64_t sum,
                 std::uint64_t hashes) {
  if (members <= 0 || holders != members) return false;
  const std::uint64_t n = static_cast<std::uint64_t>(members);
  const std::uint64_t value = sum / n;
  return value * n == sum && n * base::Mix64(value) == hashes;
}

std::int64_t Encode(const Offence& offence) {
  if (offence.tensor < 0) return 0;
  return (std::int64_t{offence.tensor} + 1) << 32 | std::bit_cast<std::uint32_t>(offence.value);
}

Offence Decode(std::int64_t word) {
  if (word == 0) return {};
  return {static_cast<std::int32_t>((word >> 32) - 1),
          std::bit_cast<float>(static_cast<std::uint32_t>(word))};
}

}  // namespace

void Tail::Clear() { std::fill(words_.begin(), words_.end(), 0); }

void Tail::AddSlot(std::int32_t slot, std::int64_t loss, std::int64_t tokens,
                   std::uint64_t checksum, bool not_finite, bool saturated,
                   std::span<const std::uint64_t> samples, const Offence& offence) {
  words_[kLoss] += loss;
  words_[kTokens] += tokens;
  words_[kChecksum] =
      static_cast<std::int64_t>(static_cast<std::uint64_t>(words_[kChecksum]) + checksum);
  words_[kNotFinite] += not_finite ? 1 : 0;
  words_[kSaturated] += saturated ? 1 : 0;
  const auto s = static_cast<std::size_t>(slot);
  words_[kTailWords + s] += 1;
  words_[kTailWords + slots_ + s] += Encode(offence);
  for (std::size_t i = 0; i < std::min(audited_, samples.size()); ++i) {
    words_[kTailWords + 2 * slots_ + s * audited_ + i] += static_cast<std::int64_t>(samples[i]);
  }
}

std::vector<std::int64_t> Tail::WithControl(const ControlWord& control) const {
  std::vector<std::int64_t> words = words_;
  words[kMembers] = 1;
  if (control.pending_view.value != 0) {
    words[kViewHolders] = 1;
    words[kViewSum] = static_cast<std::int64_t>(control.pending_view.value);
    words[kViewHashes] = static_cast<std::int64_t>(base::Mix64(control.pending_view.value));
  }
  if (control.checkpoint_request != 0) {
    words[kRequestHolders] = 1;
    words[kRequestSum] = static_cast<std::int64_t>(control.checkpoint_request);
    words[kRequestHashes] = static_cast<std::int64_t>(base::Mix64(control.checkpoint_request));
    words[kStopHolders] = control.stop ? 1 : 0;
  }
  return words;
}

std::vector<std::vector<std::uint64_t>> AuditedSamples(std::span<const std::int64_t> words,
                                                       std::int32_t slots, std::int32_t audited) {
  std::vector<std::vector<std::uint64_t>> samples(static_cast<std::size_t>(slots));
  auto at = words.begin() + static_cast<std::ptrdiff_t>(kTailWords) + 2 * slots;
  for (auto& of_slot : samples) {
    of_slot.assign(at, at + audited);
    at += audited;
  }
  return samples;
}

std::optional<FirstOffence> FindOffence(std::span<const std::int64_t> words, std::int32_t slots) {
  std::optional<FirstOffence> first;
  const auto offences =
      words.subspan(kTailWords + static_cast<std::size_t>(slots), static_cast<std::size_t>(slots));
  for (std::int32_t slot = 0; slot < slots; ++slot) {
    const Offence seen = Decode(offences[static_cast<std::size_t>(slot)]);
    if (seen.tensor < 0 || (first && first->offence.tensor <= seen.tensor)) continue;
    first = FirstOffence{slot, seen};
  }
  return first;
}

ReducedTail ReadTail(std::span<const std::int64_t> words, std::int32_t slots) {
  ReducedTail out;
  out.loss = words[kLoss];
  out.tokens = words[kTokens];
  out.checksum = static_cast<std::uint64_t>(words[kChecksum]);
  out.not_finite = words[kNotFinite];
  out.saturated = words[kSaturated];
  const auto counters = words.subspan(kTailWords, static_cast<std::size_t>(slots));
  out.counters_ok = std::ranges::all_of(counters, [](std::int64_t count) { return count == 1; });
  const std::int64_t members = words[kMembers];
  out.agreement.view =
      AllHoldSame(members, words[kViewHolders], words[kViewSum], words[kViewHashes]);
  if (AllHoldSame(members, words[kRequestHolders], words[kRequestSum], words[kRequestHashes])) {
    out.agreement.checkpoint =
        static_cast<std::uint64_t>(words[kRequestSum]) / static_cast<std::uint64_t>(members);
    out.agreement.stop = words[kStopHolders] == members;
  }
  return out;
}

}  // namespace muster::train

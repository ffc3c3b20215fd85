// The tail of a reduction: everything besides gradients that is summed as 64-bit integers (E6, E9,
// M5).
//
//   [0] loss, fixed point (exact/loss.h)   [1] tokens            [2] linear checksum, mod 2^64 (E8)
//   [3] NaN or Inf seen, count of slots    [4] saturated, count of slots
//   [5] members   [6] holders of a view    [7] sum of its epoch  [8] sum of its hash
//   [9] holders of a checkpoint request   [10] sum of its id    [11] sum of its hash
//  [12] holders whose request says stop   [13 + s] counter of slot s (E9)
//  [13 + M + s] the offence of slot s (E5): tensor + 1 in the upper half, the value's bits in the
//  lower, 0 for none; one member adds it, so all read what it saw
//  [13 + 2M + s*B + i] with an audit: the id that slot s read as its sample i
//
// That n members hold the *same* epoch e is seen from the sums alone: sum(e) = n*e and
// sum(Mix64(e)) = n*Mix64(e), mod 2^64. Different epochs of two changes under way would have to
// collide in 64 hashed bits.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "operator/base/ids.h"

namespace muster::train {

inline constexpr std::size_t kTailWords = 13;

// What a member brings to a reduction besides its slots (M5).
struct ControlWord {
  base::Epoch pending_view;              // 0: none
  std::uint64_t checkpoint_request = 0;  // 0: none
  bool stop = false;
};

// What the reduction said about control words.
struct Agreement {
  bool view = false;             // all members hold the same pending view
  std::uint64_t checkpoint = 0;  // id that all hold; 0: not all
  bool stop = false;             // ... and all of them say stop
};

// What makes a slot's gradient unusable (E5).
struct Offence {
  std::int32_t tensor = -1;  // the first such one of the layout; their number: the loss. -1: none
  float value = 0;           // its greatest |g|: a NaN beats an infinity, that every number
  friend bool operator==(const Offence&, const Offence&) = default;
};

class Tail {
 public:
  // audited: samples of each slot that ride along, 0 without an audit.
  explicit Tail(std::int32_t slots, std::int32_t audited = 0)
      : slots_(static_cast<std::size_t>(slots)),
        audited_(static_cast<std::size_t>(audited)),
        words_(kTailWords + slots_ * (2 + audited_), 0) {}

  void Clear();
  // One slot, added whole.
  void AddSlot(std::int32_t slot, std::int64_t loss, std::int64_t tokens, std::uint64_t checksum,
               bool not_finite, bool saturated, std::span<const std::uint64_t> samples = {},
               const Offence& offence = {});
  // A copy with this member's control words filled in: what goes on the wire.
  std::vector<std::int64_t> WithControl(const ControlWord& control) const;
  std::span<const std::int64_t> words() const { return words_; }

 private:
  std::size_t slots_;
  std::size_t audited_;
  std::vector<std::int64_t> words_;
};

// Reading a reduced tail.
struct ReducedTail {
  std::int64_t loss = 0;
  std::int64_t tokens = 0;
  std::uint64_t checksum = 0;
  std::int64_t not_finite = 0;
  std::int64_t saturated = 0;
  bool counters_ok = false;  // every slot exactly once (E9)
  Agreement agreement;
};
ReducedTail ReadTail(std::span<const std::int64_t> words, std::int32_t slots);
// The first offending slot of the first offending tensor: the same whoever computed it.
struct FirstOffence {
  std::int32_t slot = 0;
  Offence offence;
};
std::optional<FirstOffence> FindOffence(std::span<const std::int64_t> words, std::int32_t slots);
// With an audit: the ids that each slot read, whoever computed it. By slot.
std::vector<std::vector<std::uint64_t>> AuditedSamples(std::span<const std::int64_t> words,
                                                       std::int32_t slots, std::int32_t audited);

}  // namespace muster::train

#include "worker/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "worker/exact/digest.h"
#include "worker/exact/fixed_point.h"
#include "worker/exact/loss.h"

namespace muster::train {

Trainer::Trainer(TrainerOptions options)
    : options_(std::move(options)),
      reduction_(options_.spec.training.reduction),
      tail_(options_.spec.training.slots,
            options_.audit ? engine().program().samples_per_slot() : 0) {
  const model::Program& program = engine().program();
  order_.seed = options_.spec.training.seed;
  order_.samples = options_.dataset->samples();
  order_.slots = options_.spec.training.slots;
  order_.samples_per_slot = program.samples_per_slot();
  tokens_.resize(static_cast<std::size_t>(program.samples_per_slot()) *
                 static_cast<std::size_t>(program.sample_tokens()));
  if (reduction_ == api::Reduction::kExact32) {
    maxima_.resize(layout().tensors.size());
    maxima_bits_.resize(maxima_.size());
    reduced_maxima_.resize(maxima_.size());
  }
  reduced_tail_.resize(tail_.words().size());
}

Trainer::~Trainer() = default;

std::uint64_t Trainer::Digest(const StateFolds& folds, const StateHeader& header) const {
  return exact::CombineDigest(folds[0], folds[1], folds[2], header.exponents, header.step.value,
                              header.updates);
}

std::uint64_t Trainer::MakeFresh() {
  engine().MakeFresh(options_.spec.training.seed);
  return BeginFromEngine();
}

std::uint64_t Trainer::BeginFromEngine() {
  header_ = StateHeader{};
  return Digest(engine().Folds(), header_);
}

std::uint64_t Trainer::AdoptHeader(const StateHeader& header) {
  header_ = header;
  return Digest(engine().Folds(), header_);
}

absl::StatusOr<std::uint64_t> Trainer::AdoptReceived(const std::string& header_bytes,
                                                     std::uint64_t expected) {
  auto header = DecodeHeader(header_bytes);
  if (!header.ok()) {
    engine().DropReceived();
    return header.status();
  }
  const std::uint64_t digest = Digest(engine().ReceivedFolds(), *header);
  if (digest != expected) {
    engine().DropReceived();
    return base::DataLoss("the received state has digest " + exact::DigestHex(digest) +
                          ", its source said " + exact::DigestHex(expected));
  }
  engine().TakeReceived();
  header_ = *std::move(header);
  return digest;
}

std::uint64_t Trainer::ExponentsInForce() const { return ExponentsDigest(header_.exponents); }

void Trainer::ClearSums(const api::SumTag& tag) {
  // A redo takes the exponents of the reduction that saturated; they were left in redo_exponents_.
  exponents_ = tag.attempt == 0 ? header_.exponents : redo_exponents_;
  tag_ = tag;
  engine().ClearSums();
  std::ranges::fill(maxima_, 0.0f);
  tail_.Clear();
}

// Tensors are finished in the order of the backward pass; the first offending one of the layout is
// named.
Trainer::SlotFlags Trainer::Judge(const SlotTold& told, bool maxima_only) {
  SlotFlags slot;
  slot.flags.saturated = maxima_only;  // nothing was added, so the step is redone
  for (std::size_t t = 0; t < told.tensors.size(); ++t) {
    const TensorTold& tensor = told.tensors[t];
    // Compared by bits, so that a NaN beats everything.
    if (!maxima_.empty() && exact::MaxAbsBits(tensor.max_abs) > exact::MaxAbsBits(maxima_[t])) {
      maxima_[t] = tensor.max_abs;
    }
    const bool not_finite =
        tensor.flags.not_finite || (maxima_only && !std::isfinite(tensor.max_abs));
    slot.flags.not_finite |= not_finite;
    slot.flags.saturated |= tensor.flags.saturated;
    slot.flags.checksum += tensor.flags.checksum;
    // Exact32 saturation is redone, not skipped.
    const bool beyond = tensor.flags.saturated && reduction_ == api::Reduction::kExact64;
    if ((not_finite || beyond) && slot.offence.tensor < 0) {
      slot.offence = {static_cast<std::int32_t>(t), tensor.max_abs};
    }
  }
  if (!std::isfinite(told.loss.sum)) {
    slot.flags.not_finite = true;
    if (slot.offence.tensor < 0) {
      slot.offence = {static_cast<std::int32_t>(told.tensors.size()),
                      static_cast<float>(told.loss.sum)};
    }
  }
  return slot;
}

void Trainer::BeginSlot(api::Slot slot, const SlotHooks& hooks) {
  std::vector<std::uint64_t> ids = order_.SlotSamples(tag_.step, slot);
  const auto row = static_cast<std::size_t>(engine().program().sample_tokens());
  for (std::size_t i = 0; i < ids.size() && row != 0; ++i) {
    options_.dataset->Read(ids[i], std::span(tokens_).subspan(i * row, row));
  }
  SlotWork work;
  work.tokens = tokens_;
  work.key = {options_.spec.training.seed, tag_.step.value, slot};
  work.quantising = {exponents_};
  work.in_mid_slot = hooks.in_mid_slot;
  work.part_ready = hooks.part_ready;
  engine().BeginSlot(work);
  begun_.push_back({slot, std::move(ids)});
}

std::vector<std::uint64_t> Trainer::FinishSlot() {
  const SlotTold told = engine().FinishSlot();
  auto [slot, ids] = std::move(begun_.front());
  begun_.pop_front();
  ++slots_computed_;
  // Without exponents yet (Exact32's first step, E5) the pass only took the maxima.
  const bool maxima_only = reduction_ == api::Reduction::kExact32 && exponents_.empty();
  const SlotFlags judged = Judge(told, maxima_only);
  const bool forced = tag_.step == options_.saturate && tag_.attempt == 0;
  tail_.AddSlot(slot, exact::QuantiseLoss(told.loss.sum, order_.slots), told.loss.tokens,
                judged.flags.checksum, judged.flags.not_finite, judged.flags.saturated || forced,
                ids, judged.offence);
  return ids;
}

std::vector<ReduceVector> Trainer::PrepareReduction(const ControlWord& control, bool on_device) {
  using Kind = ReduceVector::Kind;
  wire_tail_ = tail_.WithControl(control);
  std::vector<ReduceVector> vectors = engine().Sums(on_device);
  if (reduction_ == api::Reduction::kExact32) {
    std::ranges::transform(maxima_, maxima_bits_.begin(), exact::MaxAbsBits);
    vectors.push_back({Kind::kInt32Max, std::as_bytes(std::span(maxima_bits_)),
                       std::as_writable_bytes(std::span(reduced_maxima_)), false});
  }
  vectors.push_back({Kind::kInt64Sum, std::as_bytes(std::span(wire_tail_)),
                     std::as_writable_bytes(std::span(reduced_tail_)), false});
  return vectors;
}

ReduceOutcome Trainer::FinishReduction() {
  ReduceOutcome outcome;
  engine().ReducedIsThere();
  const ReducedTail tail = ReadTail(reduced_tail_, options_.spec.training.slots);
  outcome.agreement = tail.agreement;
  outcome.counters_ok = tail.counters_ok;
  if (!outcome.counters_ok)
    outcome.detail =
        "a slot of step " + std::to_string(tag_.step.value) + " was added never or twice (E9)";
  // Float sums have no exact checksum.
  outcome.checksum_ok =
      reduction_ == api::Reduction::kFloat || engine().ReducedChecksum() == tail.checksum;
  if (!outcome.checksum_ok)
    outcome.detail = "the sum of step " + std::to_string(tag_.step.value) +
                     " does not match its linear checksum (E8)";
  if (reduction_ == api::Reduction::kExact32 && tail.saturated > 0 && tail.not_finite == 0) {
    outcome.saturated = true;
    redo_exponents_ = ExponentsOfMaxima();
    outcome.next_exponents = ExponentsDigest(redo_exponents_);
  }
  return outcome;
}

std::vector<std::int32_t> Trainer::ExponentsOfMaxima() const {
  std::vector<std::int32_t> exponents(reduced_maxima_.size());
  std::ranges::transform(reduced_maxima_, exponents.begin(), [](std::int32_t bits) {
    return exact::ExponentFor(exact::MaxAbsFromBits(bits));
  });
  return exponents;
}

}  // namespace muster::train

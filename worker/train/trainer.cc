#include "worker/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "operator/base/check.h"
#include "worker/exact/digest.h"
#include "worker/exact/loss.h"

namespace muster::train {
namespace {

std::size_t ElementBytes(api::Reduction reduction) {
  return reduction == api::Reduction::kExact64 ? sizeof(std::int64_t) : sizeof(std::int32_t);
}

}  // namespace

// Receives the gradients of one slot and adds them, tensor by tensor, while they are in cache.
class Trainer::Sink final : public model::GradientSink {
 public:
  Sink(Trainer& trainer, bool maxima_only, std::function<void()> before_first)
      : trainer_(trainer), maxima_only_(maxima_only), before_first_(std::move(before_first)) {}

  void Finished(std::size_t tensor, std::span<const float> gradient) override {
    if (before_first_) std::exchange(before_first_, nullptr)();
    const auto& t = trainer_.layout().tensors[tensor];
    MUSTER_CHECK(static_cast<std::int64_t>(gradient.size()) == t.size, t.name);
    const auto at = static_cast<std::size_t>(t.offset);
    switch (trainer_.reduction_) {
      case api::Reduction::kExact64:
        Note(tensor, gradient,
             trainer_.kernels_.quantise_add64(
                 gradient, trainer_.sum_.as<std::int64_t>().subspan(at, gradient.size()), at,
                 trainer_.limit_));
        break;
      case api::Reduction::kExact32: {
        // Compared by bits, so that a NaN beats everything.
        const float seen = trainer_.kernels_.max_abs(gradient);
        float& maximum = trainer_.maxima_[tensor];
        if (exact::MaxAbsBits(seen) > exact::MaxAbsBits(maximum)) maximum = seen;
        if (maxima_only_) {
          flags.saturated = true;
          if (!std::isfinite(seen)) {
            flags.not_finite = true;
            Blame(tensor, seen);
          }
          break;
        }
        Note(tensor, gradient,
             trainer_.kernels_.quantise_add32(
                 gradient, trainer_.sum_.as<std::int32_t>().subspan(at, gradient.size()), at,
                 trainer_.exponents_[tensor], trainer_.options_.spec.training.slots));
        break;
      }
      case api::Reduction::kFloat:
        Note(tensor, gradient,
             trainer_.kernels_.add_float(gradient,
                                         trainer_.sum_.as<float>().subspan(at, gradient.size())));
        break;
    }
  }

  exact::QuantiseFlags flags;
  Offence offence;

 private:
  void Note(std::size_t tensor, std::span<const float> gradient, const exact::QuantiseFlags& f) {
    flags.not_finite |= f.not_finite;
    flags.saturated |= f.saturated;
    flags.checksum += f.checksum;
    // Exact32 saturation is redone, not skipped.
    const bool beyond = f.saturated && trainer_.reduction_ == api::Reduction::kExact64;
    if (f.not_finite || beyond) Blame(tensor, trainer_.kernels_.max_abs(gradient));
  }

  // Tensors are finished in the order of the backward pass; the first of the layout is named.
  void Blame(std::size_t tensor, float value) {
    const auto index = static_cast<std::int32_t>(tensor);
    if (offence.tensor < 0 || index < offence.tensor) offence = {index, value};
  }

  Trainer& trainer_;
  const bool maxima_only_;
  std::function<void()> before_first_;
};

std::int64_t Trainer::BytesNeeded(const api::TrainingJobSpec& spec, const model::Program& program) {
  const std::int64_t p = program.layout().parameters;
  const auto element = static_cast<std::int64_t>(ElementBytes(spec.training.reduction));
  return p * (3 * std::int64_t{sizeof(float)} + 2 * element) + program.scratch_bytes();
}

Trainer::Trainer(TrainerOptions options)
    : options_(std::move(options)),
      reduction_(options_.spec.training.reduction),
      kernels_(exact::KernelsFor(options_.kernel_family)),
      parameters_(options_.program->layout().parameters),
      limit_(exact::Limit64(options_.spec.training.slots)),
      tail_(options_.spec.training.slots,
            options_.audit ? options_.program->samples_per_slot() : 0) {
  const auto p = static_cast<std::size_t>(parameters_);
  weights_ = AlignedBuffer(p * sizeof(float));
  adam_m_ = AlignedBuffer(p * sizeof(float));
  adam_v_ = AlignedBuffer(p * sizeof(float));
  sum_ = AlignedBuffer(p * ElementBytes(reduction_));
  reduced_ = AlignedBuffer(p * ElementBytes(reduction_));
  order_.seed = options_.spec.training.seed;
  order_.samples = options_.dataset->samples();
  order_.slots = options_.spec.training.slots;
  order_.samples_per_slot = options_.program->samples_per_slot();
  tokens_.resize(static_cast<std::size_t>(options_.program->samples_per_slot()) *
                 static_cast<std::size_t>(options_.program->sample_tokens()));
  if (reduction_ == api::Reduction::kExact32) {
    maxima_.resize(layout().tensors.size());
    maxima_bits_.resize(maxima_.size());
    reduced_maxima_.resize(maxima_.size());
  }
  reduced_tail_.resize(tail_.words().size());
}

Trainer::~Trainer() = default;

std::uint64_t Trainer::Digest(std::span<const float> w, std::span<const float> m,
                              std::span<const float> v, const StateHeader& header) const {
  return exact::CombineDigest(kernels_.digest_fold(w, 0, exact::kWeightsStream),
                              kernels_.digest_fold(m, 0, exact::kMomentStream),
                              kernels_.digest_fold(v, 0, exact::kVarianceStream), header.exponents,
                              header.step.value, header.updates);
}

std::uint64_t Trainer::MakeFresh() {
  options_.program->Initialise(options_.spec.training.seed, weights());
  return MakeFreshFromWeights();
}

std::uint64_t Trainer::MakeFreshFromWeights() {
  header_ = StateHeader{};
  std::ranges::fill(adam_m(), 0.0f);
  std::ranges::fill(adam_v(), 0.0f);
  return Digest(weights(), adam_m(), adam_v(), header_);
}

std::uint64_t Trainer::AdoptHeader(const StateHeader& header) {
  header_ = header;
  return Digest(weights(), adam_m(), adam_v(), header_);
}

// The integer buffers are void while a state is received; Exact32 and Float need 4 bytes a
// parameter more, which live only for the transfer.
std::vector<std::span<std::byte>> Trainer::ReceiveRegions() {
  const std::size_t vector_bytes = static_cast<std::size_t>(parameters_) * sizeof(float);
  if (sum_.bytes().size() >= 2 * vector_bytes) {
    return {sum_.bytes().first(vector_bytes), sum_.bytes().last(vector_bytes),
            reduced_.bytes().first(vector_bytes)};
  }
  received_extra_ = AlignedBuffer(vector_bytes);
  return {sum_.bytes(), reduced_.bytes(), received_extra_.bytes()};
}

absl::StatusOr<std::uint64_t> Trainer::AdoptReceived(const std::string& header_bytes,
                                                     std::uint64_t expected) {
  MUSTER_ASSIGN_OR_RETURN(StateHeader header, DecodeHeader(header_bytes));
  const std::size_t vector_bytes = static_cast<std::size_t>(parameters_) * sizeof(float);
  const bool wide = sum_.bytes().size() >= 2 * vector_bytes;
  const std::array<std::span<std::byte>, 3> from = {
      sum_.bytes().first(vector_bytes), wide ? sum_.bytes().last(vector_bytes) : reduced_.bytes(),
      wide ? reduced_.bytes().first(vector_bytes) : received_extra_.bytes()};
  const auto as_floats = [](std::span<std::byte> b) {
    return std::span<const float>(reinterpret_cast<const float*>(b.data()),
                                  b.size() / sizeof(float));
  };
  const std::uint64_t digest =
      Digest(as_floats(from[0]), as_floats(from[1]), as_floats(from[2]), header);
  if (digest != expected) {
    received_extra_ = AlignedBuffer();
    return base::DataLoss("the received state has digest " + exact::DigestHex(digest) +
                          ", its source said " + exact::DigestHex(expected));
  }
  std::memcpy(weights_.bytes().data(), from[0].data(), vector_bytes);
  std::memcpy(adam_m_.bytes().data(), from[1].data(), vector_bytes);
  std::memcpy(adam_v_.bytes().data(), from[2].data(), vector_bytes);
  received_extra_ = AlignedBuffer();
  header_ = header;
  return digest;
}

std::vector<std::span<const std::byte>> Trainer::ServeRegions() const {
  return {weights_.bytes(), adam_m_.bytes(), adam_v_.bytes()};
}

std::uint64_t Trainer::ExponentsInForce() const { return ExponentsDigest(header_.exponents); }

void Trainer::ClearSums(const api::SumTag& tag) {
  // A redo takes the exponents of the reduction that saturated; they were left in redo_exponents_.
  exponents_ = tag.attempt == 0 ? header_.exponents : redo_exponents_;
  tag_ = tag;
  std::ranges::fill(sum_.bytes(), std::byte{0});
  std::ranges::fill(maxima_, 0.0f);
  tail_.Clear();
}

std::vector<std::uint64_t> Trainer::AddSlot(api::Slot slot,
                                            const std::function<void()>& in_mid_slot) {
  std::vector<std::uint64_t> ids = order_.SlotSamples(tag_.step, slot);
  const auto row = static_cast<std::size_t>(options_.program->sample_tokens());
  for (std::size_t i = 0; i < ids.size() && row != 0; ++i) {
    options_.dataset->Read(ids[i], std::span(tokens_).subspan(i * row, row));
  }
  // Without exponents yet (Exact32's first step, E5) the pass only takes the maxima and saturates.
  const bool maxima_only = reduction_ == api::Reduction::kExact32 && exponents_.empty();
  Sink sink(*this, maxima_only, in_mid_slot);
  const model::SlotLoss loss = options_.program->ComputeSlot(
      weights(), tokens_, {options_.spec.training.seed, tag_.step.value, slot}, sink);
  ++slots_computed_;
  if (!std::isfinite(loss.sum) && sink.offence.tensor < 0) {
    sink.offence = {static_cast<std::int32_t>(layout().tensors.size()),
                    static_cast<float>(loss.sum)};
  }
  const bool forced = tag_.step == options_.saturate && tag_.attempt == 0;
  tail_.AddSlot(slot, exact::QuantiseLoss(loss.sum, order_.slots), loss.tokens, sink.flags.checksum,
                sink.flags.not_finite || !std::isfinite(loss.sum), sink.flags.saturated || forced,
                ids, sink.offence);
  return ids;
}

std::vector<ReduceVector> Trainer::PrepareReduction(const ControlWord& control) {
  using Kind = ReduceVector::Kind;
  wire_tail_ = tail_.WithControl(control);
  std::vector<ReduceVector> vectors;
  const Kind gradient = reduction_ == api::Reduction::kExact64   ? Kind::kInt64Sum
                        : reduction_ == api::Reduction::kExact32 ? Kind::kInt32Sum
                                                                 : Kind::kFloatSum;
  vectors.push_back({gradient, sum_.bytes(), reduced_.bytes()});
  if (reduction_ == api::Reduction::kExact32) {
    std::ranges::transform(maxima_, maxima_bits_.begin(), exact::MaxAbsBits);
    vectors.push_back({Kind::kInt32Max, std::as_bytes(std::span(maxima_bits_)),
                       std::as_writable_bytes(std::span(reduced_maxima_))});
  }
  vectors.push_back({Kind::kInt64Sum, std::as_bytes(std::span(wire_tail_)),
                     std::as_writable_bytes(std::span(reduced_tail_))});
  return vectors;
}

bool Trainer::VerifyChecksum(const ReducedTail& tail) const {
  switch (reduction_) {
    case api::Reduction::kExact64:
      return kernels_.checksum64(reduced_.as<std::int64_t>(), 0) == tail.checksum;
    case api::Reduction::kExact32:
      return kernels_.checksum32(reduced_.as<std::int32_t>(), 0) == tail.checksum;
    case api::Reduction::kFloat:
      return true;  // float sums have no exact checksum
  }
  return false;
}

ReduceOutcome Trainer::FinishReduction() {
  ReduceOutcome outcome;
  const ReducedTail tail = ReadTail(reduced_tail_, options_.spec.training.slots);
  outcome.agreement = tail.agreement;
  outcome.counters_ok = tail.counters_ok;
  if (!outcome.counters_ok)
    outcome.detail =
        "a slot of step " + std::to_string(tag_.step.value) + " was added never or twice (E9)";
  outcome.checksum_ok = VerifyChecksum(tail);
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

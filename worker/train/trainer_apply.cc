// From a reduced sum to the next state: norm, update, digest (E6, E7, E8), and the held-out loss.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "operator/base/check.h"
#include "worker/exact/digest.h"
#include "worker/exact/loss.h"
#include "worker/exact/norm.h"
#include "worker/train/schedule.h"
#include "worker/train/trainer.h"

namespace muster::train {
namespace {

std::string Shortest(float value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

}  // namespace

// The same sentence on every member: it is made from the reduced tail alone.
std::string Trainer::DescribeOffence() const {
  const std::int32_t slots = options_.spec.training.slots;
  const auto first = FindOffence(reduced_tail_, slots);
  if (!first) return "";
  const auto [index, value] = first->offence;
  const auto tensor = static_cast<std::size_t>(index);
  std::string text = tensor < layout().tensors.size()
                         ? "the gradient of tensor \"" + layout().tensors[tensor].name + "\""
                         : "the loss";
  text += " in slot " + std::to_string(first->slot);
  if (std::isnan(value)) return text + " is NaN";
  if (std::isinf(value)) return text + " is infinite";
  const double limit =
      std::ldexp(static_cast<double>(exact::Limit64(slots)), -exact::kFractionBits);
  return text + " has |g| = " + Shortest(value) + ", allowed with Exact64 and " +
         std::to_string(slots) + " slots: at most " + Shortest(static_cast<float>(limit));
}

double Trainer::SquaredNorm() const {
  const std::int32_t slots = options_.spec.training.slots;
  switch (reduction_) {
    case api::Reduction::kExact64:
      return engine().SquareSum(exact::Factor64(slots));
    case api::Reduction::kFloat:
      return engine().SquareSum(1.0 / slots);
    case api::Reduction::kExact32:
      break;
  }
  if (exponents_.empty()) return 0;  // the first pass took maxima only, and it is skipped (E5)
  std::vector<double> factors;
  for (const std::int32_t exponent : exponents_) {
    factors.push_back(exact::Factor32(exponent, slots));
  }
  return exact::TreeSum(engine().SquareSums(factors));
}

std::uint64_t Trainer::UpdatePass(const AdamWOptions& adam) {
  const std::int32_t slots = options_.spec.training.slots;
  AdamWOptions plain = adam;
  plain.weight_decay = 0;
  const AdamWParams decayed = MakeAdamWParams(adam);
  const AdamWParams undecayed = MakeAdamWParams(plain);
  std::vector<TensorUpdate> updates;
  for (std::size_t t = 0; t < layout().tensors.size(); ++t) {
    TensorUpdate update;
    update.adam = layout().tensors[t].decay ? decayed : undecayed;
    switch (reduction_) {
      case api::Reduction::kExact64:
        update.factor = exact::Factor64(slots);
        break;
      case api::Reduction::kExact32:
        update.factor = exact::Factor32(exponents_[t], slots);
        break;
      case api::Reduction::kFloat:
        update.factor = 1.0f / static_cast<float>(slots);
        break;
    }
    updates.push_back(update);
  }
  return Digest(engine().Update(updates), header_);
}

ApplyOutcome Trainer::Apply(base::Step step) {
  MUSTER_CHECK(step == tag_.step && step.value == header_.step.value + 1,
               "a step is applied to the state before it");
  const ReducedTail tail = ReadTail(reduced_tail_, options_.spec.training.slots);
  const auto& config = options_.spec.program.config;
  ApplyOutcome outcome;
  outcome.tokens = tail.tokens;
  if (tail.tokens > 0) {
    outcome.loss = exact::DequantiseLoss(tail.loss) / static_cast<double>(tail.tokens);
  }
  outcome.grad_norm = std::sqrt(SquaredNorm());
  const Schedule schedule{config.learning_rate, config.warmup_steps, options_.spec.training.steps};
  outcome.learning_rate = schedule.LearningRate(step.value);
  // Exact32 saturation was redone before this; what is left to skip is NaN, Inf, and Exact64's
  // limit.
  outcome.skipped =
      tail.not_finite > 0 || (tail.saturated > 0 && reduction_ == api::Reduction::kExact64);
  header_.step = step;
  if (outcome.skipped) {
    outcome.digest = Digest(engine().Folds(), header_);
    outcome.offence = DescribeOffence();
  } else {
    header_.updates += 1;
    if (reduction_ == api::Reduction::kExact32) header_.exponents = ExponentsOfMaxima();
    AdamWOptions adam;
    adam.learning_rate = outcome.learning_rate;
    adam.weight_decay = config.weight_decay;
    adam.clip_factor = ClipFactor(outcome.grad_norm, config.clip);
    adam.update = header_.updates;
    outcome.clipped = adam.clip_factor < 1.0;
    outcome.digest = UpdatePass(adam);
  }
  outcome.exponents = ExponentsInForce();
  if (options_.audit) {
    auto samples = AuditedSamples(reduced_tail_, options_.spec.training.slots,
                                  engine().program().samples_per_slot());
    for (std::size_t s = 0; s < samples.size(); ++s) {
      outcome.samples.emplace_back(static_cast<api::Slot>(s), std::move(samples[s]));
    }
  }
  return outcome;
}

std::vector<std::int64_t> Trainer::EvaluateShare(std::int32_t rank, std::int32_t size) {
  std::vector<std::int64_t> sums(3, 0);
  const std::int64_t rows = options_.dataset->held_out_rows();
  const auto batch = static_cast<std::int64_t>(engine().program().samples_per_slot());
  const auto row = static_cast<std::size_t>(engine().program().sample_tokens());
  const std::int64_t batches = std::max<std::int64_t>((rows + batch - 1) / batch, 1);
  // Whole batches are dealt out, so that every call has the same shape whoever makes it (E3).
  for (std::int64_t first = rank * batch; first < rows; first += size * batch) {
    const std::int64_t n = std::min(batch, rows - first);
    for (std::int64_t i = 0; i < n; ++i) {
      options_.dataset->ReadHeldOut(
          first + i, std::span(tokens_).subspan(static_cast<std::size_t>(i) * row, row));
    }
    const model::SlotLoss loss = engine().Evaluate(tokens_, static_cast<std::int32_t>(n));
    sums[0] += exact::QuantiseLoss(loss.sum, batches);
    sums[1] += loss.tokens;
    sums[2] += std::isfinite(loss.sum) ? 0 : 1;
  }
  return sums;
}

double Trainer::HeldOutLoss(std::span<const std::int64_t> reduced) {
  // Fixed point has no NaN: without the count a broken model would look like a perfect one.
  if (reduced[2] > 0) return std::numeric_limits<double>::quiet_NaN();
  return reduced[1] > 0 ? exact::DequantiseLoss(reduced[0]) / static_cast<double>(reduced[1]) : 0;
}

}  // namespace muster::train

// Members of one job as trainers in one process, for tests: the ring is a plain sum.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "worker/device/context.h"
#include "worker/train/host_engine.h"
#include "worker/train/trainer.h"

namespace muster::train {

inline constexpr std::int32_t kSlots = 6;

// What is wrong with one slot.
struct Poison {
  std::int64_t step = -1;
  std::int32_t slot = 3;
  std::size_t element = 17;
  float value = NAN;
  double loss = 1;
};

// A quadratic toy: the gradient of slot s is (w - target) scaled by a function of (step, slot).
class Toy final : public model::Program {
 public:
  Toy() {
    layout_.tensors = {{"a", {3000}, 0, 3000, true},
                       {"c", {2000}, 3000, 2000, true},
                       {"b", {37}, 5000, 37, false}};
    layout_.parameters = 5037;
  }
  const model::Layout& layout() const override { return layout_; }
  std::int32_t sample_tokens() const override { return row_tokens; }
  std::int32_t samples_per_slot() const override { return 1; }
  std::int64_t scratch_bytes() const override { return 0; }
  void Initialise(std::uint64_t seed, std::span<float> weights) const override {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      weights[i] = static_cast<float>(seed) + 1e-3f * static_cast<float>(i % 97);
    }
  }
  model::SlotLoss ComputeSlot(std::span<const float> weights, std::span<const std::int32_t>,
                              const model::SlotKey& key, model::GradientSink& sink) override {
    const float scale = 0.1f * static_cast<float>(key.slot + 1) / static_cast<float>(key.step);
    std::vector<float> gradient(weights.begin(), weights.end());
    for (float& g : gradient) g = g * scale - 0.01f * static_cast<float>(key.slot);
    const bool poisoned = key.step == poison.step && key.slot == poison.slot;
    if (poisoned) gradient[poison.element] = poison.value;
    // As a backward pass does: the last tensor first.
    for (std::size_t t = layout_.tensors.size(); t-- > 0;) {
      const auto& tensor = layout_.tensors[t];
      sink.Finished(
          t, std::span<const float>(gradient).subspan(static_cast<std::size_t>(tensor.offset),
                                                      static_cast<std::size_t>(tensor.size)));
    }
    return {poisoned ? poison.loss : 0.5 * (key.slot + 1), 4};
  }
  // A row that begins with '!' has no finite loss.
  model::SlotLoss Evaluate(std::span<const float>, std::span<const std::int32_t> tokens,
                           std::int32_t rows) override {
    return {tokens[0] == '!' ? NAN : 2.0 * rows, rows};
  }
  Poison poison;
  std::int32_t row_tokens = 0;

 private:
  model::Layout layout_;
};

using EngineMaker = std::function<std::unique_ptr<Engine>(const api::TrainingJobSpec&,
                                                          std::unique_ptr<model::Program>)>;
inline std::unique_ptr<Engine> OnHost(const api::TrainingJobSpec& spec,
                                      std::unique_ptr<model::Program> program) {
  return MakeHostEngine(spec, std::move(program), "scalar");
}

class Member {
 public:
  explicit Member(api::Reduction reduction, std::int64_t saturate = -1, const Poison& poison = {},
                  const EngineMaker& make_engine = OnHost)
      : dataset_(data::Dataset::WithoutTokens()) {
    TrainerOptions options;
    options.spec.training.slots = kSlots;
    options.spec.training.steps = 10;
    options.spec.training.reduction = reduction;
    options.spec.training.seed = 3;
    options.spec.program.config.clip = 0.5;
    auto toy = std::make_unique<Toy>();
    toy->poison = poison;
    options.engine = make_engine(options.spec, std::move(toy));
    options.dataset = dataset_.get();
    options.saturate = base::Step(saturate);
    trainer = std::make_unique<Trainer>(std::move(options));
    trainer->MakeFresh();
  }
  std::unique_ptr<Trainer> trainer;
  device::Context* device = nullptr;  // set: its sums are reduced in the device's memory

 private:
  std::unique_ptr<data::Dataset> dataset_;
};

inline std::vector<float> WeightsOf(const Member& member) {
  std::vector<float> weights(static_cast<std::size_t>(member.trainer->layout().parameters));
  member.trainer->engine().Copy(StateVector::kWeights, 0, weights);
  return weights;
}

template <typename T>
void Combine(std::span<std::byte> out, std::span<const std::byte> in, bool max) {
  auto* o = reinterpret_cast<T*>(out.data());
  auto* i = reinterpret_cast<const T*>(in.data());
  for (std::size_t k = 0; k < out.size() / sizeof(T); ++k) {
    if (max) {
      o[k] = std::max(o[k], i[k]);
    } else if constexpr (std::is_integral_v<T>) {
      using U = std::make_unsigned_t<T>;  // integer sums wrap, as the ring's do
      o[k] = static_cast<T>(static_cast<U>(o[k]) + static_cast<U>(i[k]));
    } else {
      o[k] += i[k];
    }
  }
}

// A member's input of a reduction, wherever it lies, and its place for the result.
inline std::vector<std::byte> InputOf(const Member& member, const ReduceVector& vector) {
  std::vector<std::byte> bytes(vector.in.size());
  if (vector.on_device) {
    member.device->ToHost(vector.in.data(), bytes);
  } else {
    std::memcpy(bytes.data(), vector.in.data(), bytes.size());
  }
  return bytes;
}
inline void SetOutput(const Member& member, const ReduceVector& vector,
                      const std::vector<std::byte>& bytes) {
  if (vector.on_device) {
    member.device->ToDevice(bytes, vector.out.data());
  } else {
    std::memcpy(vector.out.data(), bytes.data(), bytes.size());
  }
}

// What the ring does, or NCCL with what lies on a device.
inline void AllReduce(std::vector<Member>& members) {
  std::vector<std::vector<ReduceVector>> all;
  for (auto& m : members) all.push_back(m.trainer->PrepareReduction({}, m.device != nullptr));
  for (std::size_t v = 0; v < all[0].size(); ++v) {
    std::vector<std::byte> sum = InputOf(members[0], all[0][v]);
    for (std::size_t m = 1; m < all.size(); ++m) {
      const std::vector<std::byte> in = InputOf(members[m], all[m][v]);
      switch (all[m][v].kind) {
        case ReduceVector::Kind::kInt64Sum:
          Combine<std::int64_t>(sum, in, false);
          break;
        case ReduceVector::Kind::kInt32Sum:
          Combine<std::int32_t>(sum, in, false);
          break;
        case ReduceVector::Kind::kFloatSum:
          Combine<float>(sum, in, false);
          break;
        case ReduceVector::Kind::kInt32Max:
          Combine<std::int32_t>(sum, in, true);
          break;
      }
    }
    for (std::size_t m = 0; m < all.size(); ++m) SetOutput(members[m], all[m][v], sum);
  }
}

struct StepResult {
  ApplyOutcome applied;
  std::vector<std::string> offences;  // as each member tells
  int attempts = 0;
};

// The slots of one member, with as many in flight as there may be.
inline void AddSlots(Trainer& trainer, const std::vector<std::int32_t>& slots) {
  std::size_t begun = 0;
  for (const std::int32_t slot : slots) {
    if (begun == trainer.slots_in_flight()) {
      trainer.FinishSlot();
      --begun;
    }
    trainer.BeginSlot(slot);
    ++begun;
  }
  for (; begun > 0; --begun) trainer.FinishSlot();
}

// One step: slot s is computed by member deal[s]; a saturated attempt is redone by all.
inline StepResult RunStep(std::vector<Member>& members, std::int64_t step,
                          const std::vector<int>& deal) {
  StepResult result;
  std::uint64_t exponents = members[0].trainer->ExponentsInForce();
  for (int attempt = 0; attempt < 3; ++attempt) {
    for (std::size_t m = 0; m < members.size(); ++m) {
      members[m].trainer->ClearSums({base::Step(step), attempt, exponents});
      std::vector<std::int32_t> mine;
      for (std::int32_t s = 0; s < kSlots; ++s) {
        if (deal[static_cast<std::size_t>(s)] == static_cast<int>(m)) mine.push_back(s);
      }
      AddSlots(*members[m].trainer, mine);
    }
    AllReduce(members);
    ++result.attempts;
    bool saturated = false;
    for (auto& m : members) {
      const auto outcome = m.trainer->FinishReduction();
      EXPECT_TRUE(outcome.counters_ok);
      EXPECT_TRUE(outcome.checksum_ok);
      saturated = outcome.saturated;
      exponents = outcome.next_exponents;
    }
    if (!saturated) break;
  }
  for (auto& m : members) {
    result.applied = m.trainer->Apply(base::Step(step));
    result.offences.push_back(result.applied.offence);
  }
  return result;
}

inline std::vector<std::uint64_t> Digests(api::Reduction reduction, int members,
                                          const std::vector<int>& deal, std::int64_t saturate = -1,
                                          const Poison& poison = {},
                                          const EngineMaker& make_engine = OnHost) {
  std::vector<Member> all;
  for (int m = 0; m < members; ++m) all.emplace_back(reduction, saturate, poison, make_engine);
  std::vector<std::uint64_t> digests;
  for (std::int64_t step = 1; step <= 4; ++step) {
    digests.push_back(RunStep(all, step, deal).applied.digest);
  }
  return digests;
}

inline const std::vector<int> kAlone(kSlots, 0);

}  // namespace muster::train

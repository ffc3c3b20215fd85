// The promise of the exact contract at its smallest: however slots are dealt out, the next state is
// the same bits. Members are trainers in one process; the ring is a plain sum.
#include "worker/train/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <type_traits>

#include "tests/worker/scratch_folder.h"

namespace muster::train {
namespace {

constexpr std::int32_t kSlots = 6;

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
    layout_.tensors = {{"a", {5000}, 0, 5000, true}, {"b", {37}, 5000, 37, false}};
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

class Member {
 public:
  explicit Member(api::Reduction reduction, std::int64_t saturate = -1, const Poison& poison = {})
      : dataset_(data::Dataset::WithoutTokens()) {
    TrainerOptions options;
    options.spec.training.slots = kSlots;
    options.spec.training.steps = 10;
    options.spec.training.reduction = reduction;
    options.spec.training.seed = 3;
    options.spec.program.config.clip = 0.5;
    auto toy = std::make_unique<Toy>();
    toy->poison = poison;
    options.program = std::move(toy);
    options.dataset = dataset_.get();
    options.kernel_family = "scalar";
    options.saturate = base::Step(saturate);
    trainer = std::make_unique<Trainer>(std::move(options));
    trainer->MakeFresh();
  }
  std::unique_ptr<Trainer> trainer;

 private:
  std::unique_ptr<data::Dataset> dataset_;
};

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

// What the ring does.
void AllReduce(std::vector<Member>& members) {
  std::vector<std::vector<ReduceVector>> all;
  for (auto& m : members) all.push_back(m.trainer->PrepareReduction({}));
  for (std::size_t v = 0; v < all[0].size(); ++v) {
    std::vector<std::byte> sum(all[0][v].in.begin(), all[0][v].in.end());
    for (std::size_t m = 1; m < all.size(); ++m) {
      switch (all[m][v].kind) {
        case ReduceVector::Kind::kInt64Sum:
          Combine<std::int64_t>(sum, all[m][v].in, false);
          break;
        case ReduceVector::Kind::kInt32Sum:
          Combine<std::int32_t>(sum, all[m][v].in, false);
          break;
        case ReduceVector::Kind::kFloatSum:
          Combine<float>(sum, all[m][v].in, false);
          break;
        case ReduceVector::Kind::kInt32Max:
          Combine<std::int32_t>(sum, all[m][v].in, true);
          break;
      }
    }
    for (auto& vectors : all) std::memcpy(vectors[v].out.data(), sum.data(), sum.size());
  }
}

struct StepResult {
  ApplyOutcome applied;
  std::vector<std::string> offences;  // as each member tells
  int attempts = 0;
};

// One step: slot s is computed by member deal[s]; a saturated attempt is redone by all.
StepResult RunStep(std::vector<Member>& members, std::int64_t step, const std::vector<int>& deal) {
  StepResult result;
  std::uint64_t exponents = members[0].trainer->ExponentsInForce();
  for (int attempt = 0; attempt < 3; ++attempt) {
    for (std::size_t m = 0; m < members.size(); ++m) {
      members[m].trainer->ClearSums({base::Step(step), attempt, exponents});
      for (std::int32_t s = 0; s < kSlots; ++s) {
        if (deal[static_cast<std::size_t>(s)] == static_cast<int>(m))
          members[m].trainer->AddSlot(s);
      }
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

std::vector<std::uint64_t> Digests(api::Reduction reduction, int members,
                                   const std::vector<int>& deal, std::int64_t saturate = -1,
                                   const Poison& poison = {}) {
  std::vector<Member> all;
  for (int m = 0; m < members; ++m) all.emplace_back(reduction, saturate, poison);
  std::vector<std::uint64_t> digests;
  for (std::int64_t step = 1; step <= 4; ++step) {
    digests.push_back(RunStep(all, step, deal).applied.digest);
  }
  return digests;
}

const std::vector<int> kAlone(kSlots, 0);

TEST(TrainerTest, AnyDealOfSlotsGivesTheSameBits) {
  for (auto reduction : {api::Reduction::kExact64, api::Reduction::kExact32}) {
    const auto alone = Digests(reduction, 1, kAlone);
    EXPECT_EQ(Digests(reduction, 2, {0, 1, 0, 1, 0, 1}), alone);
    EXPECT_EQ(Digests(reduction, 2, {1, 1, 1, 1, 1, 0}), alone);
    EXPECT_EQ(Digests(reduction, 3, {2, 2, 0, 1, 1, 2}), alone);
    EXPECT_NE(alone[0], alone[1]) << "training must change the state";
  }
}

TEST(TrainerTest, Exact32BeginsWithAPassForItsExponentsAndRedoesSaturation) {
  std::vector<Member> all;
  all.emplace_back(api::Reduction::kExact32);
  EXPECT_EQ(RunStep(all, 1, kAlone).attempts, 2);
  EXPECT_EQ(RunStep(all, 2, kAlone).attempts, 1);
  std::vector<Member> forced;
  forced.emplace_back(api::Reduction::kExact32, 2);
  RunStep(forced, 1, kAlone);
  EXPECT_EQ(RunStep(forced, 2, kAlone).attempts, 2);
}

TEST(TrainerTest, ANaNSkipsTheStepForAllAlikeAndMovesNothing) {
  for (auto reduction : {api::Reduction::kExact64, api::Reduction::kExact32}) {
    std::vector<Member> all;
    all.emplace_back(reduction, -1, Poison{2});
    RunStep(all, 1, kAlone);
    const std::vector<float> before(all[0].trainer->weights().begin(),
                                    all[0].trainer->weights().end());
    const auto updates = all[0].trainer->header().updates;
    const auto skipped = RunStep(all, 2, kAlone);
    EXPECT_TRUE(skipped.applied.skipped);
    EXPECT_EQ(skipped.attempts, 1);
    EXPECT_EQ(all[0].trainer->header().updates, updates);
    EXPECT_TRUE(std::equal(before.begin(), before.end(), all[0].trainer->weights().begin()));
    EXPECT_EQ(Digests(reduction, 3, {2, 2, 0, 1, 1, 2}, -1, Poison{2}),
              Digests(reduction, 1, kAlone, -1, Poison{2}));
  }
}

TEST(TrainerTest, ASkippedStepNamesTensorSlotAndValueOnEveryMember) {
  using R = api::Reduction;
  struct Case {
    R reduction;
    Poison poison;
    std::string offence;
  };
  const Case cases[] = {
      {R::kExact64, {2, 3, 17, NAN}, "the gradient of tensor \"a\" in slot 3 is NaN"},
      {R::kExact64, {2, 0, 5001, -INFINITY}, "the gradient of tensor \"b\" in slot 0 is infinite"},
      {R::kExact64,
       {2, 4, 5001, -200000.5f},
       "the gradient of tensor \"b\" in slot 4 has |g| = 200000.5, allowed with Exact64 and 6 "
       "slots: at most 87381.336"},
      {R::kExact32, {2, 3, 5001, NAN}, "the gradient of tensor \"b\" in slot 3 is NaN"},
      {R::kExact32, {1, 5, 17, INFINITY}, "the gradient of tensor \"a\" in slot 5 is infinite"},
      {R::kFloat, {2, 1, 17, NAN}, "the gradient of tensor \"a\" in slot 1 is NaN"},
      {R::kExact64, {2, 2, 17, 0.5f, NAN}, "the loss in slot 2 is NaN"},
  };
  for (const Case& c : cases) {
    std::vector<Member> all;
    for (int m = 0; m < 3; ++m) all.emplace_back(c.reduction, -1, c.poison);
    for (std::int64_t step = 1; step <= 3; ++step) {
      const StepResult result = RunStep(all, step, {2, 2, 0, 1, 1, 2});
      const bool bad = step == c.poison.step;
      EXPECT_EQ(result.applied.skipped, bad);
      EXPECT_EQ(result.offences, std::vector<std::string>(3, bad ? c.offence : ""));
    }
  }
}

// Exact32 has no exponents yet when the first step's pass for them meets a NaN.
TEST(TrainerTest, ANaNInTheVeryFirstStepIsSkippedToo) {
  for (auto reduction : {api::Reduction::kExact64, api::Reduction::kExact32}) {
    std::vector<Member> all;
    all.emplace_back(reduction, -1, Poison{1});
    const auto skipped = RunStep(all, 1, kAlone);
    EXPECT_TRUE(skipped.applied.skipped);
    EXPECT_EQ(skipped.attempts, 1);
    EXPECT_EQ(all[0].trainer->header().updates, 0);
    EXPECT_EQ(RunStep(all, 2, kAlone).attempts, reduction == api::Reduction::kExact32 ? 2 : 1);
    EXPECT_EQ(all[0].trainer->header().updates, 1);
  }
}

class EvaluationTest : public testing::Test {
 protected:
  // The held-out loss by two members over `held_out` as the last tenth of a text.
  static double HeldOut(const std::string& held_out) {
    const ScratchFolder folder;
    const auto path = folder.Write("text", std::string(9 * held_out.size(), 'x') + held_out);
    auto dataset = data::Dataset::Open({.path = path, .format = api::DataFormat::kText}, 4, 256);
    EXPECT_TRUE(dataset.ok()) << dataset.status();
    TrainerOptions options;
    options.spec.training.slots = kSlots;
    auto toy = std::make_unique<Toy>();
    toy->row_tokens = 4;
    options.program = std::move(toy);
    options.dataset = dataset->get();
    options.kernel_family = "scalar";
    Trainer trainer(std::move(options));
    auto sums = trainer.EvaluateShare(0, 2);
    const auto other = trainer.EvaluateShare(1, 2);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += other[i];
    return Trainer::HeldOutLoss(sums);
  }
};

TEST_F(EvaluationTest, IsTheMeanOverAllRowsWhoeverCountsThem) {
  EXPECT_EQ(HeldOut("abcabcabca"), 2.0);
}

// In fixed point a NaN would be a zero: a broken model would look better than any other.
TEST_F(EvaluationTest, ALossThatIsNotFiniteIsNotANumber) {
  EXPECT_TRUE(std::isnan(HeldOut("abc!bcabca")));
}

// A fault that is meant for the forward pass lands here.
TEST(TrainerTest, InMidSlotNothingOfItHasBeenAdded) {
  std::vector<Member> all;
  all.emplace_back(api::Reduction::kExact64);
  auto& trainer = *all[0].trainer;
  trainer.ClearSums({base::Step(1), 0, 0});
  trainer.AddSlot(0);
  const auto sums = [&] {
    const auto in = trainer.PrepareReduction({})[0].in;
    return std::vector<std::byte>(in.begin(), in.end());
  };
  const std::vector<std::byte> before = sums();
  int calls = 0;
  trainer.AddSlot(1, [&] {
    ++calls;
    EXPECT_EQ(sums(), before);
    EXPECT_EQ(trainer.slots_computed(), 1);
  });
  EXPECT_EQ(calls, 1);
  EXPECT_NE(sums(), before);
}

TEST(TrainerTest, AFlippedBitOfASumIsFoundByTheChecksum) {
  for (auto reduction : {api::Reduction::kExact64, api::Reduction::kExact32}) {
    std::vector<Member> all;
    all.emplace_back(reduction);
    RunStep(all, 1, kAlone);  // Exact32 has its exponents then
    auto& trainer = *all[0].trainer;
    trainer.ClearSums({base::Step(2), 0, trainer.ExponentsInForce()});
    for (std::int32_t s = 0; s < kSlots; ++s) trainer.AddSlot(s);
    const auto vectors = trainer.PrepareReduction({});
    for (const auto& v : vectors) std::memcpy(v.out.data(), v.in.data(), v.in.size());
    EXPECT_TRUE(trainer.FinishReduction().checksum_ok);
    vectors[0].out[1234 * 4 + 3] ^= std::byte{4};
    const auto outcome = trainer.FinishReduction();
    EXPECT_FALSE(outcome.checksum_ok);
    EXPECT_NE(outcome.detail.find("checksum"), std::string::npos);
  }
}

// The toy's gradients are far beyond the clip of 0.5, and Adam's first update does not depend on
// their scale: what tells is the norm itself, of the mean over slots.
TEST(TrainerTest, ReportsTheNormOfTheMeanGradientAndThatItWasClipped) {
  for (auto reduction :
       {api::Reduction::kExact64, api::Reduction::kExact32, api::Reduction::kFloat}) {
    std::vector<Member> all;
    all.emplace_back(reduction);
    const auto weights = all[0].trainer->weights();
    double squares = 0;
    for (const float w : weights) {
      double sum = 0;
      for (int slot = 0; slot < kSlots; ++slot) sum += 0.1 * (slot + 1) * w - 0.01 * slot;
      squares += sum / kSlots * (sum / kSlots);
    }
    const auto applied = RunStep(all, 1, kAlone).applied;
    EXPECT_NEAR(applied.grad_norm, std::sqrt(squares), 1e-4 * std::sqrt(squares));
    EXPECT_TRUE(applied.clipped);
  }
}

TEST(TrainerTest, ReceivedStateIsAdoptedWholeOrNotAtAll) {
  for (auto reduction :
       {api::Reduction::kExact64, api::Reduction::kExact32, api::Reduction::kFloat}) {
    std::vector<Member> source;
    source.emplace_back(reduction);
    const std::uint64_t digest = RunStep(source, 1, kAlone).applied.digest;
    Member joiner(reduction);
    const std::uint64_t old = joiner.trainer->AdoptHeader(joiner.trainer->header());
    const auto regions = joiner.trainer->ReceiveRegions();
    const auto served = source[0].trainer->ServeRegions();
    ASSERT_EQ(regions.size(), served.size());
    const std::string header = EncodeHeader(source[0].trainer->header());
    for (std::size_t i = 0; i < served.size(); ++i) {
      ASSERT_EQ(regions[i].size(), served[i].size());
      std::memcpy(regions[i].data(), served[i].data(), served[i].size());
    }
    regions[1][99] ^= std::byte{1};
    EXPECT_FALSE(joiner.trainer->AdoptReceived(header, digest).ok());
    EXPECT_EQ(joiner.trainer->AdoptHeader(joiner.trainer->header()), old)
        << "the old state is whole";
    const auto again = joiner.trainer->ReceiveRegions();
    for (std::size_t i = 0; i < served.size(); ++i) {
      std::memcpy(again[i].data(), served[i].data(), served[i].size());
    }
    auto adopted = joiner.trainer->AdoptReceived(header, digest);
    ASSERT_TRUE(adopted.ok()) << adopted.status();
    EXPECT_EQ(*adopted, digest);
    EXPECT_EQ(joiner.trainer->header(), source[0].trainer->header());
  }
}

}  // namespace
}  // namespace muster::train

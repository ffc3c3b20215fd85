// The promise of the exact contract at its smallest: however slots are dealt out, the next state is
// the same bits. Members are trainers in one process; the ring is a plain sum.
#include "worker/train/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tests/worker/scratch_folder.h"
#include "tests/worker/train/members.h"

namespace muster::train {
namespace {

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
    const std::vector<float> before = WeightsOf(all[0]);
    const auto updates = all[0].trainer->header().updates;
    const auto skipped = RunStep(all, 2, kAlone);
    EXPECT_TRUE(skipped.applied.skipped);
    EXPECT_EQ(skipped.attempts, 1);
    EXPECT_EQ(all[0].trainer->header().updates, updates);
    EXPECT_EQ(WeightsOf(all[0]), before);
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
    options.engine = MakeHostEngine(options.spec, std::move(toy), "scalar");
    options.dataset = dataset->get();
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
    const std::vector<float> weights = WeightsOf(all[0]);
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
    const auto regions = joiner.trainer->ReceiveRegions(true);
    const auto served = source[0].trainer->engine().ServeRegions();
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
    const auto again = joiner.trainer->ReceiveRegions(true);
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

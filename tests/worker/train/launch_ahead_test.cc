// Launch ahead: slots are begun while the device has not computed those before them, and everything
// that a slot tells is read when it has ended. The device's stream is one that is late.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/train/late_module.h"
#include "tests/worker/train/members.h"
#include "worker/train/device_engine.h"

namespace muster::train {
namespace {

// The toy on a device: gradients go there from buffers of the slot in flight.
class LateToy final : public DeviceProgram {
 public:
  LateToy(device::Context& context, std::unique_ptr<model::Program> program)
      : context_(context), program_(std::move(program)) {
    const auto parameters = static_cast<std::size_t>(program_->layout().parameters);
    weights_.resize(parameters);
    device_ = device::Memory(context, static_cast<std::int64_t>(parameters * sizeof(float)));
    for (Buffers& buffers : buffers_) buffers.gradient.resize(parameters);
  }
  const model::Program& host() const override { return *program_; }

  std::int64_t LaunchSlot(const float* device_weights, std::span<const std::int32_t> tokens,
                          const model::SlotKey& key, const Finished& finished,
                          double* device_loss) override {
    if (step_ != key.step) {
      // The state is at rest in its first slot.
      context_.ToHost(device_weights, std::as_writable_bytes(std::span(weights_)));
      step_ = key.step;
    }
    Buffers& buffers = buffers_[slots_++ % 2];
    const Sink sink{*this, buffers, finished};
    Adapter adapter(sink);
    const model::SlotLoss loss = program_->ComputeSlot(weights_, tokens, key, adapter);
    buffers.loss = loss.sum;
    context_.Do(&MusterCudaModule::to_device, static_cast<const void*>(&buffers.loss),
                static_cast<void*>(device_loss), static_cast<int64_t>(sizeof(double)));
    return loss.tokens;
  }
  model::SlotLoss Evaluate(const float*, std::span<const std::int32_t>, std::int32_t) override {
    return {};
  }

 private:
  struct Buffers {
    std::vector<float> gradient;
    double loss = 0;
  };
  struct Sink {
    LateToy& toy;
    Buffers& buffers;
    const Finished& finished;
  };
  class Adapter final : public model::GradientSink {
   public:
    explicit Adapter(const Sink& sink) : sink_(sink) {}
    void Finished(std::size_t tensor, std::span<const float> gradient) override {
      const auto at = sink_.toy.program_->layout().tensors[tensor].offset;
      float* const host = sink_.buffers.gradient.data() + at;
      std::ranges::copy(gradient, host);
      float* const device = sink_.toy.device_.as<float>(at);
      sink_.toy.context_.Do(&MusterCudaModule::to_device, static_cast<const void*>(host),
                            static_cast<void*>(device),
                            static_cast<int64_t>(gradient.size_bytes()));
      sink_.finished(tensor, device);
    }

   private:
    const Sink& sink_;
  };

  device::Context& context_;
  const std::unique_ptr<model::Program> program_;
  std::vector<float> weights_;
  std::int64_t step_ = -1;
  device::Memory device_;
  Buffers buffers_[2];
  std::size_t slots_ = 0;
};

class LaunchAheadTest : public testing::Test {
 protected:
  LaunchAheadTest() {
    auto context = device::Context::Create(LateStream::Table(), 0, [](const std::string& why) {
      FAIL() << "the device failed: " << why;
    });
    EXPECT_TRUE(context.ok()) << context.status();
    context_ = *std::move(context);
  }
  EngineMaker Late() {
    return [this](const api::TrainingJobSpec& spec, std::unique_ptr<model::Program> program) {
      return MakeDeviceEngine(spec, *context_,
                              std::make_unique<LateToy>(*context_, std::move(program)));
    };
  }
  std::unique_ptr<device::Context> context_;
};

TEST_F(LaunchAheadTest, DigestsAreTheHosts) {
  for (const auto reduction :
       {api::Reduction::kExact64, api::Reduction::kExact32, api::Reduction::kFloat}) {
    const auto host = Digests(reduction, 1, kAlone);
    EXPECT_EQ(Digests(reduction, 1, kAlone, -1, {}, Late()), host);
    EXPECT_EQ(Digests(reduction, 1, kAlone, 2, {}, Late()), Digests(reduction, 1, kAlone, 2, {}))
        << "a step that was made to saturate";
  }
}

TEST_F(LaunchAheadTest, AMemberWithoutSlotsHasEmptySumsAndNotThoseOfTheStepBefore) {
  std::vector<Member> late, host;
  for (int m = 0; m < 2; ++m) {
    late.emplace_back(api::Reduction::kExact64, -1, Poison{}, Late());
    late.back().device = context_.get();
    host.emplace_back(api::Reduction::kExact64);
  }
  for (const auto& deal : {std::vector<int>{0, 1, 0, 1, 0, 1}, kAlone, kAlone}) {
    const std::int64_t step = late[0].trainer->header().step.value + 1;
    EXPECT_EQ(RunStep(late, step, deal).applied.digest, RunStep(host, step, deal).applied.digest);
  }
}

TEST_F(LaunchAheadTest, TheNextSlotIsBegunBeforeTheDeviceHasComputedTheOneBefore) {
  Member late(api::Reduction::kExact64, -1, Poison{1, 1}, Late());
  Member host(api::Reduction::kExact64, -1, Poison{1, 1});
  Trainer& trainer = *late.trainer;
  for (Member* m : {&late, &host}) m->trainer->ClearSums({base::Step(1), 0, 0});
  const LateStream& stream = LateStream::The();
  trainer.BeginSlot(0);
  const std::size_t of_one = stream.waiting();
  EXPECT_GT(of_one, 0u);
  trainer.BeginSlot(1);
  const std::size_t of_two = stream.waiting();
  EXPECT_GT(of_two, of_one) << "nothing was waited for";
  trainer.FinishSlot();
  EXPECT_EQ(stream.waiting(), of_two - of_one) << "the first was, and no more";
  trainer.BeginSlot(2);
  trainer.FinishSlot();
  EXPECT_GT(stream.waiting(), 0u);
  trainer.FinishSlot();
  EXPECT_EQ(stream.waiting(), 0u);
  for (const std::int32_t slot : {0, 1, 2}) host.trainer->AddSlot(slot);
  const auto given = trainer.PrepareReduction({}), expected = host.trainer->PrepareReduction({});
  ASSERT_EQ(given.size(), expected.size());
  for (std::size_t v = 0; v < given.size(); ++v) {
    EXPECT_TRUE(std::ranges::equal(given[v].in, expected[v].in)) << "vector " << v;
  }
}

// Its event is done when the part is, and not when it is given.
TEST_F(LaunchAheadTest, APartIsGivenBeforeItIsComputedWithAnEventThatTells) {
  Member late(api::Reduction::kExact64, -1, Poison{}, Late());
  Trainer& trainer = *late.trainer;
  trainer.ClearSums({base::Step(1), 0, 0});
  std::vector<ReadyPart> parts;
  SlotHooks hooks;
  hooks.part_ready = [&](const ReadyPart& part) { parts.push_back(part); };
  trainer.BeginSlot(0, hooks);
  ASSERT_EQ(parts.size(), 2u);
  const LateStream& stream = LateStream::The();
  const std::size_t all = stream.waiting();
  context_->Do(&MusterCudaModule::event_synchronise, parts[0].event);
  const std::size_t rest = stream.waiting();
  EXPECT_LT(rest, all);
  context_->Do(&MusterCudaModule::event_synchronise, parts[1].event);
  EXPECT_LT(stream.waiting(), rest) << "the second part is computed behind the first";
  EXPECT_GT(stream.waiting(), 0u) << "what the slot told is still to come";
  trainer.FinishSlot();
}

}  // namespace
}  // namespace muster::train

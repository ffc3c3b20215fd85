// From an unknown machine to the first update, through what the worker would do it with: driver,
// choice and module are a program's, and all three are libraries that it loads. The driver is a
// small one that plays an H200; the module is that of the emulator (tests/worker/cuda/simt).
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "operator/base/rng.h"
#include "worker/device/choose.h"
#include "worker/device/driver.h"
#include "worker/device/module.h"
#include "worker/exact/digest.h"
#include "worker/exact/fixed_point.h"
#include "worker/train/optimizer.h"

namespace muster::device {
namespace {

constexpr std::size_t kLength = 1000;
constexpr std::uint64_t kIndex = 0xffffff00ull;

class FirstUpdateTest : public testing::Test {
 protected:
  void SetUp() override {
    const DriverFindings driver = LookForGpus(std::string(MUSTER_FAKES) + "/libfake_cuda_good.so");
    const auto loaded = LoadModule(MUSTER_SIMT_MODULE);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_EQ(FindingOf(loaded), ModuleFindings(RightModule{"simt"}));
    const Choice choice =
        Choose(DeviceRequest::kAuto, driver, FindingOf(loaded), {.bytes = 32 * kLength});
    ASSERT_TRUE(std::holds_alternative<UseGpu>(choice));
    module_ = *loaded;
    ASSERT_EQ(module_->create(std::get<UseGpu>(choice).ordinal, &context_, message()), 0) << text();
  }
  void TearDown() override {
    if (module_ == nullptr) return;
    for (void* device : allocated_) module_->release(context_, device);
    module_->destroy(context_);
  }

  MusterCudaText message() { return {text_.data(), static_cast<std::int32_t>(text_.size())}; }
  std::string text() const { return text_.data(); }

  template <typename T>
  T* Up(const std::vector<T>& values) {
    const auto bytes = static_cast<std::int64_t>(values.size() * sizeof(T));
    void* device = nullptr;
    EXPECT_EQ(module_->allocate(context_, bytes, &device, message()), 0) << text();
    EXPECT_EQ(module_->to_device(context_, values.data(), device, bytes, message()), 0) << text();
    allocated_.push_back(device);
    return static_cast<T*>(device);
  }
  template <typename T>
  std::vector<T> Down(const T* device, std::size_t count) {
    std::vector<T> values(count);
    const auto bytes = static_cast<std::int64_t>(count * sizeof(T));
    EXPECT_EQ(module_->to_host(context_, device, values.data(), bytes, message()), 0) << text();
    EXPECT_EQ(module_->synchronise(context_, message()), 0) << text();
    return values;
  }

  const MusterCudaModule* module_ = nullptr;
  MusterCudaContext* context_ = nullptr;

 private:
  std::array<char, 512> text_{};
  std::vector<void*> allocated_;
};

std::vector<float> Floats(std::uint64_t seed) {
  std::vector<float> values(kLength);
  base::SplitMix rng(seed);
  for (float& value : values) value = static_cast<float>(rng.Next() % 2001) / 1000.0f - 1.0f;
  return values;
}

// Two slots' gradients become a sum, the sum the step's mean, and the state that step's.
TEST_F(FirstUpdateTest, OfTwoSlotsGivesTheCpusStateAndDigest) {
  const exact::Kernels& plain = *exact::SupportedKernels().front();
  const std::int64_t limit = exact::Limit64(2);
  const double factor = exact::Factor64(2);
  const train::AdamWParams p =
      train::MakeAdamWParams({.learning_rate = 1e-3, .weight_decay = 0.1, .update = 1});
  std::vector<float> w = Floats(1), m(kLength), v(kLength), mean(kLength);
  std::vector<std::int64_t> sum(kLength);
  std::uint64_t checksum = 0;
  const MusterCudaSums sums = {MUSTER_CUDA_INT64, Up(sum), kLength, kIndex};
  MusterCudaTold* const told = Up(std::vector<MusterCudaTold>(1));
  float *const gpu_w = Up(w), *const gpu_m = Up(m), *const gpu_v = Up(v);

  for (const std::uint64_t slot : {2, 3}) {
    const std::vector<float> gradient = Floats(slot);
    checksum += plain.quantise_add64(gradient, sum, kIndex, limit).checksum;
    ASSERT_EQ(module_->quantise_add(context_, Up(gradient), &sums, 0x1p44, limit, told, message()),
              0)
        << text();
  }
  EXPECT_EQ(Down(told, 1).front().checksum, checksum);
  EXPECT_EQ(Down(told, 1).front().flags, 0u);

  plain.dequantise64(sum, factor, mean);
  train::AdamWBlock(p, mean, w, m, v);
  const MusterCudaAdamW constants = {p.beta1,
                                     p.one_minus_beta1,
                                     p.beta2,
                                     p.one_minus_beta2,
                                     p.gradient_scale,
                                     p.step_size,
                                     p.inverse_correction2,
                                     p.epsilon,
                                     p.keep};
  MusterCudaFolds* const folds = Up(std::vector<MusterCudaFolds>(1));
  ASSERT_EQ(
      module_->update(context_, &sums, factor, &constants, gpu_w, gpu_m, gpu_v, folds, message()),
      0)
      << text();
  EXPECT_EQ(Down(gpu_w, kLength), w);
  EXPECT_EQ(Down(gpu_m, kLength), m);
  EXPECT_EQ(Down(gpu_v, kLength), v);
  const MusterCudaFolds got = Down(folds, 1).front();
  EXPECT_EQ(exact::CombineDigest(got.weights, got.first, got.second, {}, 1, 1),
            exact::CombineDigest(exact::DigestFold(w, kIndex, exact::kWeightsStream),
                                 exact::DigestFold(m, kIndex, exact::kMomentStream),
                                 exact::DigestFold(v, kIndex, exact::kVarianceStream), {}, 1, 1));
}

TEST_F(FirstUpdateTest, AKernelThatIsGivenTheHostsMemorySaysSo) {
  const std::vector<float> host = Floats(1);
  std::uint64_t* const fold = Up(std::vector<std::uint64_t>(1));
  EXPECT_EQ(module_->digest(context_, host.data(), kLength, 0, 0, fold, message()), 1);
  EXPECT_EQ(
      text(),
      "launch of digest: unspecified launch failure: launch: parameter 1 is no device memory: "
      "it is the host's, or was freed (cudaErrorLaunchFailure)");
}

}  // namespace
}  // namespace muster::device

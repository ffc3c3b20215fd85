// A whole slot through the module's table whose attention is cuDNN's (fake_cudnn.cc), against the
// same slot with our own, which gpt_slot_test.cc compares with worker/model's.
//
// Both round to bfloat16, at other places inside attention alone, so tensors are off by less than
// what separates either from floats (gpt_slot_test.cc: 2 %).
#include <cuda_runtime.h>
#include <gmock/gmock.h>

#include <array>
#include <cstdlib>

#include "tests/worker/cuda/on_device.h"
#include "worker/cuda/gpt_plan.h"

extern "C" const MusterCudaModule* muster_cuda_module();

namespace muster::cuda {
namespace {

constexpr double kMostApart = 0.02;

struct SlotGradients {
  std::vector<std::vector<float>> tensors;
  double loss = 0;
};

// Which library takes cuDNN's place, while it lives.
class UseCudnn {
 public:
  explicit UseCudnn(const char* library) { EXPECT_EQ(setenv("MUSTER_CUDNN_LIB", library, 1), 0); }
  UseCudnn(const UseCudnn&) = delete;
  UseCudnn& operator=(const UseCudnn&) = delete;
  ~UseCudnn() { EXPECT_EQ(unsetenv("MUSTER_CUDNN_LIB"), 0); }
};

class CudnnSlotTest : public testing::Test {
 protected:
  CudnnSlotTest() {
    config_.layers = 2;
    config_.heads = 2;
    config_.width = 32;
    config_.context = 128;
    config_.batch = 1;
    config_.vocabulary = 61;
    config_.chunk_rows = 100;
    config_.dropout = 0.1;
    EXPECT_EQ(muster_cuda_module()->create(0, &context_, Text()), 0) << text_.data();
  }
  ~CudnnSlotTest() override {
    muster_cuda_module()->destroy(context_);
    EXPECT_EQ(simt::TakeBreaches(), std::vector<std::string>());
  }

  MusterCudaText Text() { return {text_.data(), static_cast<std::int32_t>(text_.size())}; }

  static std::int32_t Finish(void* user, std::int32_t tensor, const float* device,
                             std::int64_t length) {
    auto& tensors = static_cast<SlotGradients*>(user)->tensors;
    if (tensors.size() <= static_cast<std::size_t>(tensor))
      tensors.resize(static_cast<std::size_t>(tensor) + 1);
    std::vector<float>& values = tensors[static_cast<std::size_t>(tensor)];
    values.resize(static_cast<std::size_t>(length));
    return cudaMemcpy(values.data(), device, values.size() * sizeof(float),
                      cudaMemcpyDeviceToHost) == cudaSuccess
               ? 0
               : 1;
  }

  // `who` computes attention.
  SlotGradients Slot(std::int32_t attention, const char* who) {
    config_.attention = attention;
    MusterCudaGpt* gpt = nullptr;
    EXPECT_EQ(muster_cuda_module()->gpt_create(context_, &config_, &gpt, Text()), 0)
        << text_.data();
    SlotGradients gradients;
    if (gpt == nullptr) return gradients;
    EXPECT_STREQ(muster_cuda_module()->gpt_attention(gpt), who);
    const auto parameters = static_cast<std::size_t>(GptShape(config_).parameters());
    OnDevice<float> weights(RandomNumbers(parameters, 61, 0.3f));
    OnDevice<double> loss(1);
    std::vector<std::int32_t> tokens;
    for (int i = 0; i <= config_.context; ++i) tokens.push_back(i * 7 % config_.vocabulary);
    const MusterCudaSlotKey key{77, 5, 3};
    std::int64_t counted = 0;
    EXPECT_EQ(muster_cuda_module()->gpt_slot(gpt, weights.data(), tokens.data(), &key, Finish,
                                             &gradients, loss.data(), &counted, Text()),
              0)
        << text_.data();
    EXPECT_EQ(muster_cuda_module()->synchronise(context_, Text()), 0) << text_.data();
    gradients.loss = loss.Read()[0];
    muster_cuda_module()->gpt_destroy(gpt);
    return gradients;
  }

  MusterCudaGptConfig config_{};
  MusterCudaContext* context_ = nullptr;
  std::array<char, 512> text_{};
};

constexpr const char* kFake = "cuDNN 91300 with engines 7.0 and 6.2";

TEST_F(CudnnSlotTest, HasTheGradientsOfASlotWithOurAttention) {
  const UseCudnn use(FAKE_CUDNN_GOOD);
  const SlotGradients ours = Slot(MUSTER_CUDA_ATTENTION_OWN, "");
  const SlotGradients theirs = Slot(MUSTER_CUDA_ATTENTION_CUDNN, kFake);
  EXPECT_NEAR(theirs.loss, ours.loss, 0.005 * ours.loss);
  ASSERT_EQ(theirs.tensors.size(), ours.tensors.size());
  for (std::size_t i = 0; i < ours.tensors.size(); ++i) {
    ASSERT_EQ(theirs.tensors[i].size(), ours.tensors[i].size());
    double off = 0, size = 0;
    for (std::size_t j = 0; j < ours.tensors[i].size(); ++j) {
      const double expected = ours.tensors[i][j];
      off += (theirs.tensors[i][j] - expected) * (theirs.tensors[i][j] - expected);
      size += expected * expected;
    }
    EXPECT_GT(size, 0);
    EXPECT_LT(std::sqrt(off / size), kMostApart) << "tensor " << i;
  }
}

TEST_F(CudnnSlotTest, HasTheSameBitsAgainAndAtAllLevelsOfRecompute) {
  const UseCudnn use(FAKE_CUDNN_GOOD);
  const SlotGradients first = Slot(MUSTER_CUDA_ATTENTION_CUDNN, kFake);
  for (const std::int32_t level : {0, 2}) {
    config_.recompute = level;
    const SlotGradients again = Slot(MUSTER_CUDA_ATTENTION_CUDNN, kFake);
    EXPECT_EQ(again.loss, first.loss);
    for (std::size_t i = 0; i < first.tensors.size(); ++i) {
      EXPECT_EQ(BitsOf(again.tensors[i]), BitsOf(first.tensors[i])) << "tensor " << i;
    }
  }
}

TEST_F(CudnnSlotTest, SaysThatCudnnIsMissingAndGivesItsMemoryBack) {
  const UseCudnn use("libno_such_library.so");
  config_.attention = MUSTER_CUDA_ATTENTION_CUDNN;
  const simt::Counts before = simt::CountAll();
  MusterCudaGpt* gpt = nullptr;
  EXPECT_EQ(muster_cuda_module()->gpt_create(context_, &config_, &gpt, Text()), 1);
  EXPECT_EQ(gpt, nullptr);
  EXPECT_THAT(text_.data(), testing::StartsWith("cuDNN: libno_such_library.so: cannot open"));
  EXPECT_EQ(simt::CountAll().allocated, before.allocated);
}

}  // namespace
}  // namespace muster::cuda

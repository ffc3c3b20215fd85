// Slots as CUDA graphs on the emulator: the bits are those of kernels that are launched one by one.
#include <cuda_runtime.h>
#include <dlfcn.h>
#include <gmock/gmock.h>

#include <array>
#include <cstdlib>
#include <memory>

#include "tests/worker/cuda/on_device.h"
#include "tests/worker/cuda/simt/emulator.h"
#include "worker/cuda/module.h"
#include "worker/model/gpt.h"

extern "C" const MusterCudaModule* muster_cuda_module();

namespace muster::cuda {
namespace {

// Each with tokens and randomness of its own; an evaluation where rows are not negative.
struct Turn {
  std::int64_t step = 1;
  std::int32_t slot = 0;
  std::int32_t rows = -1;
};
const std::vector<Turn> kTurns = {{1, 0},    {1, 1},    {1, 2}, {0, 0, 2}, {2, 0},
                                  {0, 0, 1}, {0, 0, 2}, {2, 5}, {9, 1}};

class CudaGptGraphsTest : public testing::Test {
 protected:
  CudaGptGraphsTest() {
    config_.layers = 2;
    config_.heads = 2;
    config_.width = 32;
    config_.context = 20;
    config_.batch = 2;
    config_.vocabulary = 61;
    config_.chunk_rows = 16;
    config_.dropout = 0.1;
  }
  ~CudaGptGraphsTest() override {
    EXPECT_EQ(simt::TakeBreaches(), std::vector<std::string>());
    simt::Configure({});
  }
  MusterCudaText Text() {
    text_.fill('\0');
    return {text_.data(), static_cast<std::int32_t>(text_.size())};
  }
  std::vector<float> Weights(std::uint64_t seed) const {
    api::ProgramConfig cpu;
    cpu.layers = config_.layers;
    cpu.heads = config_.heads;
    cpu.width = config_.width;
    cpu.context = config_.context;
    cpu.batch = config_.batch;
    cpu.vocabulary = config_.vocabulary;
    model::Gpt layout(cpu, 1);
    return RandomNumbers(static_cast<std::size_t>(layout.layout().parameters), seed, 0.2f);
  }
  // How many distinct ones there are differs from turn to turn.
  std::vector<std::int32_t> Tokens(const Turn& turn) const {
    base::SplitMix random(static_cast<std::uint64_t>(turn.step * 100 + turn.slot));
    const auto most = static_cast<std::uint64_t>(config_.vocabulary) -
                      static_cast<std::uint64_t>(turn.step * 7 % 50);
    std::vector<std::int32_t> tokens;
    for (int i = 0; i < config_.batch * (config_.context + 1); ++i) {
      tokens.push_back(static_cast<std::int32_t>(random.Below(most)));
    }
    return tokens;
  }

  // A context and a GPT on it; what turns left is read when all are done.
  class Running {
   public:
    Running(CudaGptGraphsTest& test, std::int32_t graphs) : test_(test) {
      test.config_.graphs = graphs;
      EXPECT_EQ(module_.create(0, &context_, test.Text()), 0) << test.text_.data();
      EXPECT_EQ(module_.gpt_create(context_, &test.config_, &gpt_, test.Text()), 0)
          << test.text_.data();
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running() {
      module_.gpt_destroy(gpt_);
      module_.destroy(context_);
    }

    // The tokens are gone when it returns.
    void Take(const Turn& turn, const OnDevice<float>& weights, const float* at) {
      std::vector<std::int32_t> tokens = test_.Tokens(turn);
      results_.push_back(std::make_unique<Result>(weights.size()));
      Result& result = *results_.back();
      result.stream = static_cast<cudaStream_t>(module_.stream(context_));
      const MusterCudaSlotKey key{77, turn.step, turn.slot};
      const std::int32_t failed =
          turn.rows < 0 ? module_.gpt_slot(gpt_, at, tokens.data(), &key, Finish, &result,
                                           result.loss.data(), &result.counted, test_.Text())
                        : module_.gpt_evaluate(gpt_, at, tokens.data(), turn.rows,
                                               result.loss.data(), &result.counted, test_.Text());
      EXPECT_EQ(failed, 0) << test_.text_.data();
      tokens.assign(tokens.size(), 0);
    }
    // Bits of losses and gradients, counts and orders, of all turns.
    std::vector<std::vector<std::uint64_t>> Read() {
      EXPECT_EQ(module_.synchronise(context_, test_.Text()), 0) << test_.text_.data();
      std::vector<std::vector<std::uint64_t>> all;
      for (const auto& result : results_) {
        all.push_back(BitsOf(result->gradients.Read()));
        all.push_back(BitsOf(result->loss.Read()));
        all.push_back(result->order);
        all.push_back({static_cast<std::uint64_t>(result->counted)});
      }
      return all;
    }
    std::int32_t graphs() { return module_.gpt_graphs(gpt_, test_.Text()); }

   private:
    struct Result {
      explicit Result(std::size_t parameters)
          : gradients(std::vector<float>(parameters)), loss(1) {}
      OnDevice<float> gradients;  // in the order in which they are finished
      OnDevice<double> loss;
      std::int64_t counted = 0;
      cudaStream_t stream = nullptr;
      std::vector<std::uint64_t> order;
      std::int64_t used = 0;
    };
    // As a receiver does: what it launches reads the gradient when the stream comes to it.
    static std::int32_t Finish(void* user, std::int32_t tensor, const float* gradient,
                               std::int64_t length) {
      auto& to = *static_cast<Result*>(user);
      to.order.push_back(static_cast<std::uint64_t>(tensor));
      const cudaError_t error = cudaMemcpyAsync(to.gradients.data() + to.used, gradient,
                                                static_cast<std::size_t>(length) * sizeof(float),
                                                cudaMemcpyDeviceToDevice, to.stream);
      to.used += length;
      return error == cudaSuccess ? 0 : 1;
    }

    CudaGptGraphsTest& test_;
    const MusterCudaModule& module_ = *muster_cuda_module();
    MusterCudaContext* context_ = nullptr;
    MusterCudaGpt* gpt_ = nullptr;
    std::vector<std::unique_ptr<Result>> results_;
  };

  std::vector<std::vector<std::uint64_t>> TakeAll(Running& running) {
    OnDevice<float> weights(Weights(1));
    for (const Turn& turn : kTurns) running.Take(turn, weights, weights.data());
    return running.Read();
  }
  std::vector<std::vector<std::uint64_t>> OneByOne() {
    Running running(*this, 0);
    const auto all = TakeAll(running);
    EXPECT_EQ(running.graphs(), 0);
    EXPECT_STREQ(text_.data(), "");
    return all;
  }

  MusterCudaGptConfig config_{};
  std::array<char, 512> text_{};
};

TEST_F(CudaGptGraphsTest, SlotsStepsKeysAndEvaluationsHaveTheBitsOfLaunchesOneByOne) {
  const simt::Counts before = simt::CountAll();
  for (const std::int32_t level : {0, 2}) {
    config_.recompute = level;
    const auto expected = OneByOne();
    const simt::Counts began = simt::CountAll();
    Running running(*this, 1);
    EXPECT_EQ(TakeAll(running), expected) << "recompute " << level;
    // Forward; the way back to each place where tensors are finished; the evaluation.
    EXPECT_EQ(running.graphs(), 1 + (1 + 6 * config_.layers + 1) + 1);
    EXPECT_STREQ(text_.data(), "");
    // Six slots and three evaluations, of which the first of each is launched one by one.
    EXPECT_EQ(simt::CountAll().graph_launches - began.graph_launches,
              5 * (1 + 1 + 6 * config_.layers + 1) + 2);
  }
  EXPECT_EQ(simt::CountAll().graphs, before.graphs);
  EXPECT_EQ(simt::CountAll().page_locked, before.page_locked);
  EXPECT_EQ(simt::CountAll().events, before.events);
}

TEST_F(CudaGptGraphsTest, SlotsInFlightReadTheirOwnTokensAndKeys) {
  const auto expected = OneByOne();
  for (const std::int32_t graphs : {0, 1}) {
    Running running(*this, graphs);
    OnDevice<float> weights(Weights(1));
    simt::Settings settings;
    settings.late = true;
    simt::Configure(settings);
    for (const Turn& turn : kTurns) running.Take(turn, weights, weights.data());
    EXPECT_EQ(running.Read(), expected) << graphs;
    simt::Configure({});
  }
}

TEST_F(CudaGptGraphsTest, GoesOnWithoutGraphsWhereMakingThemFailsAndSaysWhy) {
  const auto expected = OneByOne();
  simt::Settings settings;
  settings.captures_fail = true;
  simt::Configure(settings);
  {
    Running running(*this, 1);
    EXPECT_EQ(TakeAll(running), expected);
    EXPECT_EQ(running.graphs(), 0);
    EXPECT_STREQ(text_.data(),
                 "CUDA graphs: cudaStreamEndCapture: operation failed due to a previous error "
                 "during capture (cudaErrorStreamCaptureInvalidated)");
  }
  settings = {};
  settings.instantiations_fail = true;
  simt::Configure(settings);
  const simt::Counts before = simt::CountAll();
  Running running(*this, 1);
  EXPECT_EQ(TakeAll(running), expected);
  EXPECT_EQ(running.graphs(), 0);
  EXPECT_STREQ(text_.data(),
               "CUDA graphs: cudaGraphInstantiate: out of memory (cudaErrorMemoryAllocation)");
  EXPECT_EQ(simt::CountAll().graphs, before.graphs);
}

TEST_F(CudaGptGraphsTest, OtherWeightsAreReadWhereTheyAre) {
  const auto run = [this](std::int32_t graphs) {
    Running running(*this, graphs);
    OnDevice<float> first(Weights(1)), second(Weights(2));
    for (OnDevice<float>* weights : {&first, &first, &second, &second, &second, &first}) {
      running.Take({3, 1}, *weights, weights->data());
    }
    return running.Read();
  };
  EXPECT_EQ(run(1), run(0));
}

// The library that takes cuBLASLt's place gives its products to the emulator's stream, as the real one
// gives its kernels to CUDA's.
int GiveProduct(void* stream, int (*run)(const void*), const void* work, std::size_t size) {
  const auto* const first = static_cast<const char*>(work);
  const auto kept = std::make_shared<std::vector<char>>(first, first + size);
  return simt::Give(static_cast<cudaStream_t>(stream), [run, kept] {
    return run(kept->data()) == 0 ? cudaSuccess : cudaErrorLaunchFailure;
  });
}

TEST_F(CudaGptGraphsTest, ProductsOfCublasLtAreCapturedToo) {
  void* const library = dlopen(FAKE_CUBLASLT_ENGINE, RTLD_NOW);
  ASSERT_NE(library, nullptr) << dlerror();
  using Set = void (*)(int (*)(void*, int (*)(const void*), const void*, std::size_t));
  const auto set = reinterpret_cast<Set>(dlsym(library, "fake_cublaslt_enqueue_with"));
  ASSERT_EQ(setenv("MUSTER_CUBLASLT_LIB", FAKE_CUBLASLT_ENGINE, 1), 0);
  set(GiveProduct);
  config_.products = MUSTER_CUDA_PRODUCTS_CUBLASLT;
  const auto expected = OneByOne();
  {
    Running running(*this, 1);
    EXPECT_EQ(TakeAll(running), expected);
    EXPECT_GT(running.graphs(), 0);
  }
  set(nullptr);
  ASSERT_EQ(unsetenv("MUSTER_CUBLASLT_LIB"), 0);
  (void)dlclose(library);
}

}  // namespace
}  // namespace muster::cuda

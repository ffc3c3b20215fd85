#include "worker/cuda/module_gpt.h"

#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "worker/cuda/context.h"
#include "worker/cuda/cublaslt.h"
#include "worker/cuda/cudnn_attention.h"
#include "worker/cuda/gpt_engine.h"

struct MusterCudaGpt {
  MusterCudaGpt(MusterCudaContext* on, const MusterCudaGptConfig& c)
      : context(on), config(c), shape(c) {}
  MusterCudaContext* const context;
  const MusterCudaGptConfig config;
  const muster::cuda::GptShape shape;
  void* device = nullptr;
  muster::cuda::GptBuffers memory;
  muster::cuda::TokenOrder order;
  std::unique_ptr<muster::cuda::Multiplier> multiplier;
  std::unique_ptr<muster::cuda::Attention> attention;
};

namespace muster::cuda {
namespace {

// One piece of device memory. The rows of zeros behind the bfloat16 embedding are made once.
std::int32_t TakeMemory(MusterCudaGpt& gpt, MusterCudaText message) {
  const std::int64_t bytes = CutGptBuffers(gpt.config, nullptr).bytes;
  const std::int32_t failed = Do(gpt.context, "cudaMalloc", message, [&] {
    return cudaMalloc(&gpt.device, static_cast<std::size_t>(bytes));
  });
  if (failed != 0) return failed;
  gpt.memory = CutGptBuffers(gpt.config, gpt.device);
  const GptShape& shape = gpt.shape;
  return Do(gpt.context, "cudaMemsetAsync", message, [&] {
    return cudaMemsetAsync(
        gpt.memory.weights + shape.size(kTokenTensor), 0,
        static_cast<std::size_t>((shape.padded - shape.vocabulary) * shape.width) * sizeof(Bf16),
        gpt.context->stream);
  });
}

std::int32_t Prepare(MusterCudaGpt& gpt, MusterCudaText message) {
  gpt.order.Reserve(gpt.shape.rows);
  const std::int32_t failed = TakeMemory(gpt, message);
  if (failed != 0) return failed;
  if (gpt.config.products == MUSTER_CUDA_PRODUCTS_OWN) {
    gpt.multiplier = MakeOwnMultiplier();
    return 0;
  }
  CublasLtOptions options;
  // Packages of Python put it where the loader does not look.
  const char* const named = std::getenv("MUSTER_CUBLASLT_LIB");
  if (named != nullptr && *named != '\0') options.library = named;
  options.workspace = gpt.memory.workspace;
  gpt.multiplier = MakeCublasLt(options, message);
  return gpt.multiplier == nullptr ? 1 : 0;
}

std::int32_t TakeAttention(MusterCudaGpt& gpt, MusterCudaText message) {
  if (gpt.config.attention == MUSTER_CUDA_ATTENTION_OWN) {
    gpt.attention = MakeOwnAttention();
    return 0;
  }
  CudnnOptions options;
  const char* const named = std::getenv("MUSTER_CUDNN_LIB");
  if (named != nullptr && *named != '\0') options.library = named;
  const std::int32_t failed = Do(gpt.context, "cudaDeviceGetAttribute", message, [&] {
    return cudaDeviceGetAttribute(&options.capability_major, cudaDevAttrComputeCapabilityMajor,
                                  gpt.context->ordinal);
  });
  if (failed != 0) return failed;
  options.workspace = gpt.memory.attention_workspace;
  gpt.attention = MakeCudnnAttention(options, AttentionShapeOf(gpt.config), message);
  return gpt.attention == nullptr ? 1 : 0;
}

// Tokens come from files: what lies beyond the vocabulary would be read beyond the weights.
std::int32_t CheckTokens(const GptShape& shape, const std::int32_t* tokens,
                         MusterCudaText message) {
  for (std::int64_t i = 0; i < shape.batch * (shape.context + 1); ++i) {
    if (tokens[i] >= 0 && tokens[i] < shape.vocabulary) continue;
    char why[128];
    std::snprintf(why, sizeof why, "token %lld is %d: allowed is 0 to %lld",
                  static_cast<long long>(i), static_cast<int>(tokens[i]),
                  static_cast<long long>(shape.vocabulary - 1));
    return Complain(message, "the slot's tokens", why);
  }
  return 0;
}

std::int32_t CopyIn(const MusterCudaGpt& gpt, const std::int32_t* from, std::int32_t* to,
                    std::int64_t count, MusterCudaText message) {
  return Do(gpt.context, "cudaMemcpyAsync of tokens", message, [&] {
    return cudaMemcpyAsync(to, from, static_cast<std::size_t>(count) * sizeof(std::int32_t),
                           cudaMemcpyHostToDevice, gpt.context->stream);
  });
}

// The order's vectors are pageable: CUDA has read them when a copy returns, so that the next slot
// may overwrite them.
std::int32_t CopyOrder(MusterCudaGpt& gpt, const std::int32_t* tokens, MusterCudaText message) {
  gpt.order.Sort(tokens, gpt.shape.batch, gpt.shape.context);
  const auto copy = [&](const std::vector<std::int32_t>& from, std::int32_t* to) {
    return CopyIn(gpt, from.data(), to, static_cast<std::int64_t>(from.size()), message);
  };
  std::int32_t failed = copy(gpt.order.rows(), gpt.memory.order_rows);
  if (failed == 0) failed = copy(gpt.order.starts(), gpt.memory.order_starts);
  if (failed == 0) failed = copy(gpt.order.words(), gpt.memory.order_words);
  return failed;
}

}  // namespace

int32_t GptBytes(const MusterCudaGptConfig* config, int64_t* bytes, MusterCudaText message) {
  *bytes = 0;
  const std::int32_t failed = CheckGptConfig(*config, message);
  if (failed == 0) *bytes = CutGptBuffers(*config, nullptr).bytes;
  return failed;
}

int32_t CreateGpt(MusterCudaContext* context, const MusterCudaGptConfig* config,
                  MusterCudaGpt** out, MusterCudaText message) {
  *out = nullptr;
  const std::int32_t wrong = CheckGptConfig(*config, message);
  if (wrong != 0) return wrong;
  auto* gpt = new (std::nothrow) MusterCudaGpt(context, *config);
  if (gpt == nullptr) return Say("new", cudaErrorMemoryAllocation, message);
  std::int32_t failed = Prepare(*gpt, message);
  if (failed == 0) failed = TakeAttention(*gpt, message);
  if (failed != 0) {
    DestroyGpt(gpt);
    return failed;
  }
  *out = gpt;
  return 0;
}

void DestroyGpt(MusterCudaGpt* gpt) {
  if (gpt == nullptr) return;
  (void)cudaSetDevice(gpt->context->ordinal);
  // Launches may still be reading: freeing waits for them.
  if (gpt->device != nullptr) (void)cudaFree(gpt->device);
  ForgetLastError();
  delete gpt;
}

int64_t GptProducts(const MusterCudaGpt* gpt) { return gpt->multiplier->version(); }

const char* GptAttention(const MusterCudaGpt* gpt) { return gpt->attention->identity(); }

int32_t GptSlot(MusterCudaGpt* gpt, const float* device_weights, const int32_t* tokens,
                const MusterCudaSlotKey* key, MusterCudaFinished finished, void* user,
                double* device_loss, int64_t* counted, MusterCudaText message) {
  const GptShape& shape = gpt->shape;
  *counted = shape.rows;
  std::int32_t failed = CheckTokens(shape, tokens, message);
  if (failed == 0) {
    failed = CopyIn(*gpt, tokens, gpt->memory.tokens, shape.batch * (shape.context + 1), message);
  }
  if (failed == 0) failed = CopyOrder(*gpt, tokens, message);
  if (failed != 0) return failed;
  GptPass pass{shape,
               gpt->memory,
               *gpt->multiplier,
               *gpt->attention,
               gpt->order,
               gpt->context->stream,
               device_weights,
               gpt->config.dropout,
               *key,
               finished,
               user,
               message};
  Forward(pass, 1.0f / static_cast<float>(shape.rows));
  SumLosses(pass, shape.rows, device_loss);
  Backward(pass);
  return pass.failed;
}

int32_t EvaluateGpt(MusterCudaGpt* gpt, const float* device_weights, const int32_t* tokens,
                    int32_t rows, double* device_loss, int64_t* counted, MusterCudaText message) {
  const GptShape& shape = gpt->shape;
  *counted = rows * shape.context;
  if (rows < 0 || rows > shape.batch) {
    char why[96];
    std::snprintf(why, sizeof why, "rows is %d: allowed is 0 to %lld", static_cast<int>(rows),
                  static_cast<long long>(shape.batch));
    return Complain(message, "gpt_evaluate", why);
  }
  std::int32_t failed = CheckTokens(shape, tokens, message);
  if (failed == 0) {
    failed = CopyIn(*gpt, tokens, gpt->memory.tokens, shape.batch * (shape.context + 1), message);
  }
  if (failed != 0) return failed;
  GptPass pass{shape,           gpt->memory, *gpt->multiplier,
               *gpt->attention, gpt->order,  gpt->context->stream,
               device_weights,  0.0,         {},
               nullptr,         nullptr,     message};
  Forward(pass, 0.0f);
  SumLosses(pass, *counted, device_loss);
  return pass.failed;
}

}  // namespace muster::cuda

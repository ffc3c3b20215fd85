#include "worker/cuda/module_gpt.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "worker/cuda/context.h"
#include "worker/cuda/cublaslt.h"
#include "worker/cuda/gpt_engine.h"

namespace muster::cuda {

// What a slot reads of the host, in page-locked memory of its own: the copy may be made when the
// device comes round to it, and the caller's memory is free at once.
struct StagedSlot {
  std::int32_t* host = nullptr;
  cudaEvent_t copied = nullptr;
};

}  // namespace muster::cuda

struct MusterCudaGpt {
  MusterCudaGpt(MusterCudaContext* on, const MusterCudaGptConfig& c)
      : context(on), config(c), shape(c) {}
  MusterCudaContext* const context;
  const MusterCudaGptConfig config;
  const muster::cuda::GptShape shape;
  void* device = nullptr;
  muster::cuda::GptBuffers memory;
  muster::cuda::TokenOrder order;
  muster::cuda::StagedSlot staged[MUSTER_CUDA_SLOTS_AHEAD];
  std::size_t slots = 0;  // that were staged
  std::unique_ptr<muster::cuda::Multiplier> multiplier;
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

std::int64_t TokensOf(const GptShape& shape) { return shape.batch * (shape.context + 1); }

std::int32_t TakeStaging(MusterCudaGpt& gpt, MusterCudaText message) {
  // Tokens, and the order's three vectors at their longest.
  const std::int64_t words = TokensOf(gpt.shape) + 3 * gpt.shape.rows + 1;
  std::int32_t failed = 0;
  for (StagedSlot& staged : gpt.staged) {
    if (failed == 0) {
      failed = Do(gpt.context, "cudaMallocHost", message, [&] {
        return cudaMallocHost(reinterpret_cast<void**>(&staged.host),
                              static_cast<std::size_t>(words) * sizeof(std::int32_t));
      });
    }
    if (failed == 0) {
      failed = Do(gpt.context, "cudaEventCreateWithFlags", message,
                  [&] { return cudaEventCreateWithFlags(&staged.copied, cudaEventDisableTiming); });
    }
  }
  return failed;
}

std::int32_t Prepare(MusterCudaGpt& gpt, MusterCudaText message) {
  gpt.order.Reserve(gpt.shape.rows);
  std::int32_t failed = TakeMemory(gpt, message);
  if (failed == 0) failed = TakeStaging(gpt, message);
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

// Tokens come from files: what lies beyond the vocabulary would be read beyond the weights.
std::int32_t CheckTokens(const GptShape& shape, const std::int32_t* tokens,
                         MusterCudaText message) {
  for (std::int64_t i = 0; i < TokensOf(shape); ++i) {
    if (tokens[i] >= 0 && tokens[i] < shape.vocabulary) continue;
    char why[128];
    std::snprintf(why, sizeof why, "token %lld is %d: allowed is 0 to %lld",
                  static_cast<long long>(i), static_cast<int>(tokens[i]),
                  static_cast<long long>(shape.vocabulary - 1));
    return Complain(message, "the slot's tokens", why);
  }
  return 0;
}

// Copies vectors of the host to the device, one behind the other through a slot's staging.
class Copier {
 public:
  Copier(MusterCudaGpt& gpt, MusterCudaText message)
      : gpt_(gpt), message_(message), staged_(gpt.staged[gpt.slots++ % MUSTER_CUDA_SLOTS_AHEAD]) {
    // As it was filled the time before.
    failed_ = Do(gpt.context, "cudaEventSynchronize", message,
                 [&] { return cudaEventSynchronize(staged_.copied); });
    next_ = staged_.host;
  }
  void Copy(const std::int32_t* from, std::size_t count, std::int32_t* to) {
    if (failed_ != 0) return;
    const std::size_t bytes = count * sizeof(std::int32_t);
    std::memcpy(next_, from, bytes);
    failed_ = Do(gpt_.context, "cudaMemcpyAsync of tokens", message_, [&] {
      return cudaMemcpyAsync(to, next_, bytes, cudaMemcpyHostToDevice, gpt_.context->stream);
    });
    next_ += count;
  }
  std::int32_t End() {
    if (failed_ != 0) return failed_;
    return Do(gpt_.context, "cudaEventRecord", message_,
              [&] { return cudaEventRecord(staged_.copied, gpt_.context->stream); });
  }

 private:
  MusterCudaGpt& gpt_;
  const MusterCudaText message_;
  const StagedSlot& staged_;
  std::int32_t failed_ = 0;
  std::int32_t* next_ = nullptr;
};

// With the order where there is a way back.
std::int32_t CopyTokens(MusterCudaGpt& gpt, const std::int32_t* tokens, bool with_order,
                        MusterCudaText message) {
  Copier copier(gpt, message);
  copier.Copy(tokens, static_cast<std::size_t>(TokensOf(gpt.shape)), gpt.memory.tokens);
  if (with_order) {
    gpt.order.Sort(tokens, gpt.shape.batch, gpt.shape.context);
    const auto copy = [&](const std::vector<std::int32_t>& from, std::int32_t* to) {
      copier.Copy(from.data(), from.size(), to);
    };
    copy(gpt.order.rows(), gpt.memory.order_rows);
    copy(gpt.order.starts(), gpt.memory.order_starts);
    copy(gpt.order.words(), gpt.memory.order_words);
  }
  return copier.End();
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
  const std::int32_t failed = Prepare(*gpt, message);
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
  for (StagedSlot& staged : gpt->staged) {
    if (staged.host != nullptr) (void)cudaFreeHost(staged.host);
    if (staged.copied != nullptr) (void)cudaEventDestroy(staged.copied);
  }
  ForgetLastError();
  delete gpt;
}

int64_t GptProducts(const MusterCudaGpt* gpt) { return gpt->multiplier->version(); }

int32_t GptSlot(MusterCudaGpt* gpt, const float* device_weights, const int32_t* tokens,
                const MusterCudaSlotKey* key, MusterCudaFinished finished, void* user,
                double* device_loss, int64_t* counted, MusterCudaText message) {
  const GptShape& shape = gpt->shape;
  *counted = shape.rows;
  std::int32_t failed = CheckTokens(shape, tokens, message);
  if (failed == 0) failed = CopyTokens(*gpt, tokens, true, message);
  if (failed != 0) return failed;
  GptPass pass{shape,
               gpt->memory,
               *gpt->multiplier,
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
  if (failed == 0) failed = CopyTokens(*gpt, tokens, false, message);
  if (failed != 0) return failed;
  GptPass pass{
      shape, gpt->memory, *gpt->multiplier, gpt->order, gpt->context->stream, device_weights, 0.0,
      {},    nullptr,     nullptr,          message};
  Forward(pass, 0.0f);
  SumLosses(pass, *counted, device_loss);
  return pass.failed;
}

}  // namespace muster::cuda

#include "worker/cuda/module_gpt.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "worker/cuda/context.h"
#include "worker/cuda/cublaslt.h"
#include "worker/cuda/cudnn_attention.h"
#include "worker/cuda/gpt_engine.h"
#include "worker/cuda/gpt_graphs.h"
#include "worker/cuda/product_timer.h"
#include "worker/cuda/slot_staging.h"
#include "worker/cuda/token_order.h"

struct MusterCudaGpt {
  MusterCudaGpt(MusterCudaContext* on, const MusterCudaGptConfig& c)
      : context(on), config(c), shape(c), graphs(c.graphs != 0) {}
  MusterCudaContext* const context;
  const MusterCudaGptConfig config;
  const muster::cuda::GptShape shape;
  void* device = nullptr;
  muster::cuda::GptBuffers memory;
  muster::cuda::TokenOrder order;
  muster::cuda::SlotStaging staging;
  std::unique_ptr<muster::cuda::Multiplier> multiplier;
  std::unique_ptr<muster::cuda::Attention> attention;
  muster::cuda::GptGraphs graphs;
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

// What a table says at its beginning.
std::int32_t DescribeHere(const MusterCudaGpt& gpt, ProductTable& here, MusterCudaText message) {
  cudaDeviceProp properties;
  const std::int32_t failed = Do(gpt.context, "cudaGetDeviceProperties", message, [&] {
    return cudaGetDeviceProperties(&properties, gpt.context->ordinal);
  });
  if (failed != 0) return failed;
  here.gpu = properties.name;
  here.multiprocessors = properties.multiProcessorCount;
  here.cublaslt = gpt.multiplier->version();
  here.workspace = kCublasLtWorkspace;
  return 0;
}

std::int32_t TakeCublasLt(MusterCudaGpt& gpt, const char* table, MusterCudaText message) {
  constexpr const char* kTable = "the table of matrix products";
  CublasLtOptions options;
  // Packages of Python put it where the loader does not look.
  const char* const named = std::getenv("MUSTER_CUBLASLT_LIB");
  if (named != nullptr && *named != '\0') options.library = named;
  options.workspace = gpt.memory.workspace;
  if (gpt.config.tune != 0) options.timer = MakeProductTimer();
  ProductTable listed, here;
  std::string wrong;
  if (table != nullptr && !ParseProductTable(table, listed, wrong)) {
    return Complain(message, kTable, wrong.c_str());
  }
  options.table = listed;
  gpt.multiplier = MakeCublasLt(std::move(options), message);
  if (gpt.multiplier == nullptr) return 1;
  if (table == nullptr) return 0;
  const std::int32_t failed = DescribeHere(gpt, here, message);
  if (failed != 0) return failed;
  wrong = WhyNotHere(listed, here);
  return wrong.empty() ? 0 : Complain(message, kTable, wrong.c_str());
}

std::int32_t Prepare(MusterCudaGpt& gpt, const char* table, MusterCudaText message) {
  gpt.order.Reserve(gpt.shape.rows);
  std::int32_t failed = TakeMemory(gpt, message);
  if (failed == 0) failed = gpt.staging.Open(*gpt.context, gpt.shape, message);
  if (failed != 0) return failed;
  if (gpt.config.products == MUSTER_CUDA_PRODUCTS_OWN) {
    gpt.multiplier = MakeOwnMultiplier();
    return 0;
  }
  return TakeCublasLt(gpt, table, message);
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

// Tokens, and with a key also their order and dropout's key, on their way to the device.
std::int32_t SendInputs(MusterCudaGpt& gpt, const std::int32_t* tokens,
                        const MusterCudaSlotKey* key, MusterCudaText message) {
  const GptShape& shape = gpt.shape;
  SlotInputs to;
  std::int32_t failed = CheckTokens(shape, tokens, message);
  if (failed == 0) failed = Do(gpt.context, "cudaSetDevice", message, [] { return cudaSuccess; });
  if (failed == 0) failed = gpt.staging.Next(to, message);
  if (failed != 0) return failed;
  *to.numbers = {};
  std::copy_n(tokens, shape.batch * (shape.context + 1), to.tokens);
  if (key == nullptr) return gpt.staging.Send(gpt.memory.in, to.forward_bytes, message);
  gpt.order.Sort(tokens, shape.batch, shape.context);
  to.numbers->dropout = MakeDropoutKey(key->seed, key->step, key->slot);
  to.numbers->distinct = static_cast<std::int32_t>(gpt.order.words().size());
  std::copy(gpt.order.rows().begin(), gpt.order.rows().end(), to.rows);
  std::copy(gpt.order.starts().begin(), gpt.order.starts().end(), to.starts);
  std::copy(gpt.order.words().begin(), gpt.order.words().end(), to.words);
  return gpt.staging.Send(gpt.memory.in, to.bytes, message);
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
  MusterCudaGptConfig kept = *config;
  kept.table = nullptr;  // the caller's, for now only
  auto* gpt = new (std::nothrow) MusterCudaGpt(context, kept);
  if (gpt == nullptr) return Say("new", cudaErrorMemoryAllocation, message);
  std::int32_t failed = Prepare(*gpt, config->table, message);
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

int32_t GptTable(const MusterCudaGpt* gpt, MusterCudaText table, MusterCudaText message) {
  ProductTable made;
  const std::int32_t failed = DescribeHere(*gpt, made, message);
  if (failed != 0) return failed;
  gpt->multiplier->AddChoices(made);
  const std::string text = ToText(made);
  if (text.size() >= static_cast<std::size_t>(table.size)) {
    return Complain(message, "gpt_table", "the text has no room");
  }
  std::copy_n(text.c_str(), text.size() + 1, table.text);
  return 0;
}

int32_t GptGraphsOf(const MusterCudaGpt* gpt, MusterCudaText why) {
  if (!gpt->graphs.why().empty()) (void)Complain(why, "CUDA graphs", gpt->graphs.why().c_str());
  return gpt->graphs.count();
}
const char* GptAttention(const MusterCudaGpt* gpt) { return gpt->attention->identity(); }

int32_t GptSlot(MusterCudaGpt* gpt, const float* device_weights, const int32_t* tokens,
                const MusterCudaSlotKey* key, MusterCudaFinished finished, void* user,
                double* device_loss, int64_t* counted, MusterCudaText message) {
  const GptShape& shape = gpt->shape;
  *counted = shape.rows;
  const std::int32_t failed = SendInputs(*gpt, tokens, key, message);
  if (failed != 0) return failed;
  GptPass pass{shape,
               gpt->memory,
               *gpt->multiplier,
               *gpt->attention,
               gpt->context->stream,
               device_weights,
               gpt->config.dropout,
               finished,
               user,
               message};
  gpt->graphs.Run(GptGraphs::Part::kForward, pass,
                  [](GptPass& p) { Forward(p, 1.0f / static_cast<float>(p.shape.rows)); });
  // Its place is the caller's, and another one for each slot in flight: no part of a graph.
  SumLosses(pass, shape.rows, device_loss);
  gpt->graphs.Run(GptGraphs::Part::kBackward, pass, Backward);
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
  const std::int32_t failed = SendInputs(*gpt, tokens, nullptr, message);
  if (failed != 0) return failed;
  GptPass pass{shape,          gpt->memory, *gpt->multiplier, *gpt->attention, gpt->context->stream,
               device_weights, 0.0,         nullptr,          nullptr,         message};
  gpt->graphs.Run(GptGraphs::Part::kEvaluate, pass, [](GptPass& p) { Forward(p, 0.0f); });
  SumLosses(pass, *counted, device_loss);
  return pass.failed;
}

}  // namespace muster::cuda

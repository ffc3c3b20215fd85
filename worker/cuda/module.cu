#include "worker/cuda/module.h"

#include <cuda_runtime_api.h>

#include <new>

#include "worker/cuda/context.h"
#include "worker/cuda/gradient_sums.h"
#include "worker/cuda/kernels.h"
#include "worker/cuda/module_gpt.h"
#include "worker/cuda/module_staging.h"

namespace muster::cuda {
namespace {

void Destroy(MusterCudaContext* context) {
  if (context == nullptr) return;
  // What these say is of no use any more: the device may be what is broken.
  (void)cudaSetDevice(context->ordinal);
  CloseStaging(context);
  if (context->stream != nullptr) (void)cudaStreamDestroy(context->stream);
  ForgetLastError();
  delete context;
}

int32_t Create(int32_t ordinal, MusterCudaContext** out, MusterCudaText message) {
  *out = nullptr;
  auto* context = new (std::nothrow) MusterCudaContext;
  if (context == nullptr) return Say("new", cudaErrorMemoryAllocation, message);
  context->ordinal = ordinal;
  int32_t failed = Do(context, "cudaStreamCreateWithFlags", message, [&] {
    return cudaStreamCreateWithFlags(&context->stream, cudaStreamNonBlocking);
  });
  if (failed == 0) failed = OpenStaging(context, message);
  if (failed != 0) {
    Destroy(context);
    return failed;
  }
  *out = context;
  return 0;
}

int32_t Bind(MusterCudaContext* context, MusterCudaText message) {
  return Do(context, "cudaSetDevice", message, [] { return cudaSuccess; });
}

void* StreamOf(MusterCudaContext* context) { return context->stream; }

int32_t CreateEvent(MusterCudaContext* context, void** event, MusterCudaText message) {
  *event = nullptr;
  return Do(context, "cudaEventCreateWithFlags", message, [&] {
    // Who waits for it sleeps.
    return cudaEventCreateWithFlags(reinterpret_cast<cudaEvent_t*>(event),
                                    cudaEventDisableTiming | cudaEventBlockingSync);
  });
}

void DestroyEvent(MusterCudaContext* context, void* event) {
  (void)cudaSetDevice(context->ordinal);
  (void)cudaEventDestroy(static_cast<cudaEvent_t>(event));
  ForgetLastError();
}

int32_t RecordOnContext(MusterCudaContext* context, void* event, MusterCudaText message) {
  return Do(context, "cudaEventRecord", message,
            [&] { return cudaEventRecord(static_cast<cudaEvent_t>(event), context->stream); });
}

int32_t AwaitEvent(MusterCudaContext* context, void* event, MusterCudaText message) {
  return Do(context, "cudaEventSynchronize", message,
            [&] { return cudaEventSynchronize(static_cast<cudaEvent_t>(event)); });
}

int32_t CreateStream(MusterCudaContext* context, void** stream, MusterCudaText message) {
  *stream = nullptr;
  return Do(context, "cudaStreamCreateWithFlags", message, [&] {
    return cudaStreamCreateWithFlags(reinterpret_cast<cudaStream_t*>(stream),
                                     cudaStreamNonBlocking);
  });
}

void DestroyStream(MusterCudaContext* context, void* stream) {
  (void)cudaSetDevice(context->ordinal);
  (void)cudaStreamDestroy(static_cast<cudaStream_t>(stream));
  ForgetLastError();
}

int RecordEvent(void* event, void* stream) {
  return cudaEventRecord(static_cast<cudaEvent_t>(event), static_cast<cudaStream_t>(stream));
}
int QueryEvent(void* event) { return cudaEventQuery(static_cast<cudaEvent_t>(event)); }
int WaitOnStream(void* stream, void* event) {
  return cudaStreamWaitEvent(static_cast<cudaStream_t>(stream), static_cast<cudaEvent_t>(event), 0);
}
int SynchroniseDevice() { return cudaDeviceSynchronize(); }
int TakeLastError() { return cudaGetLastError(); }
const char* TextOf(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }

int32_t Allocate(MusterCudaContext* context, int64_t bytes, void** device, MusterCudaText message) {
  *device = nullptr;
  return Do(context, "cudaMalloc", message,
            [&] { return cudaMalloc(device, static_cast<std::size_t>(bytes)); });
}

void Release(MusterCudaContext* context, void* device) {
  (void)cudaSetDevice(context->ordinal);
  (void)cudaFree(device);
  ForgetLastError();
}

int32_t AskMemory(MusterCudaContext* context, int64_t* free_bytes, int64_t* total_bytes,
                  MusterCudaText message) {
  std::size_t free = 0, total = 0;
  const int32_t failed =
      Do(context, "cudaMemGetInfo", message, [&] { return cudaMemGetInfo(&free, &total); });
  *free_bytes = static_cast<int64_t>(free);
  *total_bytes = static_cast<int64_t>(total);
  return failed;
}

int32_t ToDevice(MusterCudaContext* context, const void* host, void* device, int64_t bytes,
                 MusterCudaText message) {
  return Do(context, "cudaMemcpyAsync to the device", message, [&] {
    return cudaMemcpyAsync(device, host, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice,
                           context->stream);
  });
}

int32_t ToHost(MusterCudaContext* context, const void* device, void* host, int64_t bytes,
               MusterCudaText message) {
  return Do(context, "cudaMemcpyAsync to the host", message, [&] {
    return cudaMemcpyAsync(host, device, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost,
                           context->stream);
  });
}

int32_t Clear(MusterCudaContext* context, void* device, int64_t bytes, MusterCudaText message) {
  return Do(context, "cudaMemsetAsync", message, [&] {
    return cudaMemsetAsync(device, 0, static_cast<std::size_t>(bytes), context->stream);
  });
}

int32_t CopyWithin(MusterCudaContext* context, const void* from, void* to, int64_t bytes,
                   MusterCudaText message) {
  return Do(context, "cudaMemcpyAsync within the device", message, [&] {
    return cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToDevice,
                           context->stream);
  });
}

int32_t Synchronise(MusterCudaContext* context, MusterCudaText message) {
  return Do(context, "cudaStreamSynchronize", message,
            [&] { return cudaStreamSynchronize(context->stream); });
}

int32_t QuantiseAddTensor(MusterCudaContext* context, const float* device_gradient,
                          const MusterCudaSums* sums, double scale, int64_t limit,
                          MusterCudaTold* device_told, MusterCudaText message) {
  Scale to;
  to.scale = scale;
  to.limit = limit;
  return Do(context, "launch of quantise_add", message, [&] {
    if (sums->device_sums == nullptr) {
      return LaunchLook(context->stream, device_gradient, sums->length, device_told);
    }
    if (sums->kind == MUSTER_CUDA_FLOAT) {
      return LaunchAddFloats(context->stream, device_gradient, *sums, device_told);
    }
    return LaunchQuantiseAdd(context->stream, device_gradient, *sums, to, device_told);
  });
}

int32_t SquaresOfSums(MusterCudaContext* context, const MusterCudaSums* sums, double factor,
                      double* device_blocks, MusterCudaText message) {
  return Do(context, "launch of squares", message,
            [&] { return LaunchSquares(context->stream, *sums, factor, device_blocks); });
}

int32_t DequantiseTensor(MusterCudaContext* context, const MusterCudaSums* sums, double factor,
                         float* device_out, MusterCudaText message) {
  return Do(context, "launch of dequantise", message,
            [&] { return LaunchDequantise(context->stream, *sums, factor, device_out); });
}

int32_t ChecksumSums(MusterCudaContext* context, const MusterCudaSums* sums,
                     uint64_t* device_checksum, MusterCudaText message) {
  return Do(context, "launch of checksum", message,
            [&] { return LaunchChecksum(context->stream, *sums, device_checksum); });
}

int32_t UpdateTensor(MusterCudaContext* context, const MusterCudaSums* reduced, double factor,
                     const MusterCudaAdamW* constants, float* device_w, float* device_m,
                     float* device_v, MusterCudaFolds* device_folds, MusterCudaText message) {
  StateVectors state;
  state.w = device_w;
  state.m = device_m;
  state.v = device_v;
  return Do(context, "launch of update", message, [&] {
    return LaunchUpdate(context->stream, *reduced, factor, *constants, state, device_folds);
  });
}

int32_t DigestVector(MusterCudaContext* context, const float* device_values, int64_t length,
                     uint64_t index, uint32_t stream, uint64_t* device_fold,
                     MusterCudaText message) {
  return Do(context, "launch of digest", message, [&] {
    return LaunchDigest(context->stream, device_values, length, index, stream, device_fold);
  });
}

int32_t NormForward(MusterCudaContext* context, const MusterCudaNorm* norm,
                    MusterCudaText message) {
  return Do(context, "launch of norm_forward", message,
            [&] { return LaunchNormForward(context->stream, *norm); });
}

int32_t NormBackward(MusterCudaContext* context, const MusterCudaNorm* norm,
                     MusterCudaText message) {
  return Do(context, "launch of norm_backward", message,
            [&] { return LaunchNormBackward(context->stream, *norm); });
}

static_assert(MUSTER_CUDA_SQUARE_BLOCK == kSquareBlock);

constexpr MusterCudaModule kModule = {
    MUSTER_CUDA_INTERFACE,
    MUSTER_CUDA_BUILD,
    CUDART_VERSION,
    MUSTER_CUDA_ARCHITECTURES,
    Create,
    Destroy,
    Bind,
    StreamOf,
    CreateEvent,
    DestroyEvent,
    RecordOnContext,
    AwaitEvent,
    CreateStream,
    DestroyStream,
    {RecordEvent, QueryEvent, WaitOnStream, SynchroniseDevice, TakeLastError, TextOf},
    {AllocateHost, ReleaseHost, CopyStream, CopyToHost, CopyToDevice, RecordCopies, AwaitCopies,
     CopiesFollow, LaunchesFollow},
    Allocate,
    Release,
    ToDevice,
    ToHost,
    Clear,
    CopyWithin,
    Synchronise,
    QuantiseAddTensor,
    SquaresOfSums,
    DequantiseTensor,
    ChecksumSums,
    UpdateTensor,
    DigestVector,
    NormForward,
    NormBackward,
    GptBytes,
    CreateGpt,
    DestroyGpt,
    GptProducts,
    GptAttention,
    GptTable,
    GptGraphsOf,
    GptSlot,
    EvaluateGpt,
    AskMemory};

}  // namespace
}  // namespace muster::cuda

extern "C" __attribute__((visibility("default"))) const MusterCudaModule* muster_cuda_module() {
  return &muster::cuda::kModule;
}

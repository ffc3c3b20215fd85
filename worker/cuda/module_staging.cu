#include "worker/cuda/module_staging.h"

#include "worker/cuda/context.h"

namespace muster::cuda {
namespace {

// `then` goes on when what `first` was given so far has ended.
int32_t Follow(MusterCudaContext* context, cudaStream_t first, cudaEvent_t event, cudaStream_t then,
               MusterCudaText message) {
  const int32_t failed =
      Do(context, "cudaEventRecord", message, [&] { return cudaEventRecord(event, first); });
  if (failed != 0) return failed;
  return Do(context, "cudaStreamWaitEvent", message,
            [&] { return cudaStreamWaitEvent(then, event, 0); });
}

}  // namespace

int32_t OpenStaging(MusterCudaContext* context, MusterCudaText message) {
  const int32_t failed = Do(context, "cudaStreamCreateWithFlags for copies", message, [&] {
    return cudaStreamCreateWithFlags(&context->copies, cudaStreamNonBlocking);
  });
  if (failed != 0) return failed;
  return Do(context, "cudaEventCreateWithFlags for copies", message, [&] {
    const cudaError_t error = cudaEventCreateWithFlags(&context->launched, cudaEventDisableTiming);
    if (error != cudaSuccess) return error;
    return cudaEventCreateWithFlags(&context->copied, cudaEventDisableTiming);
  });
}

void CloseStaging(MusterCudaContext* context) {
  if (context->launched != nullptr) (void)cudaEventDestroy(context->launched);
  if (context->copied != nullptr) (void)cudaEventDestroy(context->copied);
  if (context->copies != nullptr) (void)cudaStreamDestroy(context->copies);
}

int32_t AllocateHost(MusterCudaContext* context, int64_t bytes, void** host,
                     MusterCudaText message) {
  *host = nullptr;
  return Do(context, "cudaMallocHost", message,
            [&] { return cudaMallocHost(host, static_cast<std::size_t>(bytes)); });
}

void ReleaseHost(MusterCudaContext* context, void* host) {
  (void)cudaSetDevice(context->ordinal);
  (void)cudaFreeHost(host);
  ForgetLastError();
}

void* CopyStream(MusterCudaContext* context) { return context->copies; }

int32_t CopyToHost(MusterCudaContext* context, const void* device, void* host, int64_t bytes,
                   MusterCudaText message) {
  return Do(context, "cudaMemcpyAsync to the host beside the stream", message, [&] {
    return cudaMemcpyAsync(host, device, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost,
                           context->copies);
  });
}

int32_t CopyToDevice(MusterCudaContext* context, const void* host, void* device, int64_t bytes,
                     MusterCudaText message) {
  return Do(context, "cudaMemcpyAsync to the device beside the stream", message, [&] {
    return cudaMemcpyAsync(device, host, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice,
                           context->copies);
  });
}

int32_t RecordCopies(MusterCudaContext* context, void* event, MusterCudaText message) {
  return Do(context, "cudaEventRecord", message,
            [&] { return cudaEventRecord(static_cast<cudaEvent_t>(event), context->copies); });
}

int32_t AwaitCopies(MusterCudaContext* context, void* event, MusterCudaText message) {
  return Do(context, "cudaEventSynchronize", message,
            [&] { return cudaEventSynchronize(static_cast<cudaEvent_t>(event)); });
}

int32_t CopiesFollow(MusterCudaContext* context, MusterCudaText message) {
  return Follow(context, context->stream, context->launched, context->copies, message);
}

int32_t LaunchesFollow(MusterCudaContext* context, MusterCudaText message) {
  return Follow(context, context->copies, context->copied, context->stream, message);
}

}  // namespace muster::cuda

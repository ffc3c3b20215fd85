// Attention by cuDNN, which is looked for at run time: Muster neither ships it nor links to it.
//
// Both passes are prepared when it is made (cudnn_plan.h), for one shape: cuDNN compiles its kernels
// then, and a slot compiles nothing. Its sums are not ours bit for bit. GPUs of compute capability
// 8.x and 9.x only: cuDNN has a deterministic way back on 10.x from 9.18 on, which is asked for in
// another way. Thread rule: Attention's.
#pragma once

#include <cstdint>
#include <memory>

#include "worker/cuda/attention.h"
#include "worker/cuda/cudnn_graph.h"
#include "worker/cuda/cudnn_library.h"

namespace muster::cuda {

// Device memory that cuDNN is given for a shape. The deterministic way back keeps the gradients of
// all scores, in bfloat16; what it asks for beyond that was 128 bytes for GPUs of 8.x and 256 for
// 9.x (docs/gpu.md), so a page is enough.
std::int64_t CudnnWorkspace(const cudnn::AttentionShape& shape);

struct CudnnOptions {
  const char* library = cudnn::kLibraryName;
  int capability_major = 0;   // of the device
  void* workspace = nullptr;  // of the device, CudnnWorkspace bytes, outlives the attention
};

// Null, and a sentence in `message`, where cuDNN is not found or cannot do it. The device is the
// thread's current one.
std::unique_ptr<Attention> MakeCudnnAttention(const CudnnOptions& options,
                                              const cudnn::AttentionShape& shape,
                                              MusterCudaText message);

}  // namespace muster::cuda

// The functions of the module's table that copy beside what the context's stream does; module.h says
// what they do.
#pragma once

#include "worker/cuda/module.h"

namespace muster::cuda {

// Of a context that is made, and of one that ends.
int32_t OpenStaging(MusterCudaContext* context, MusterCudaText message);
void CloseStaging(MusterCudaContext* context);

int32_t AllocateHost(MusterCudaContext* context, int64_t bytes, void** host,
                     MusterCudaText message);
void ReleaseHost(MusterCudaContext* context, void* host);
void* CopyStream(MusterCudaContext* context);
int32_t CopyToHost(MusterCudaContext* context, const void* device, void* host, int64_t bytes,
                   MusterCudaText message);
int32_t CopyToDevice(MusterCudaContext* context, const void* host, void* device, int64_t bytes,
                     MusterCudaText message);
int32_t RecordCopies(MusterCudaContext* context, void* event, MusterCudaText message);
int32_t AwaitCopies(MusterCudaContext* context, void* event, MusterCudaText message);
int32_t CopiesFollow(MusterCudaContext* context, MusterCudaText message);
int32_t LaunchesFollow(MusterCudaContext* context, MusterCudaText message);

}  // namespace muster::cuda

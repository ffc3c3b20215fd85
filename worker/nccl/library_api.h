// NcclApi over the functions of a loaded library and of the CUDA module. Private to this folder.
#pragma once

#include <memory>

#include "worker/nccl/abi.h"
#include "worker/nccl/library.h"
#include "worker/nccl/nccl_api.h"

namespace muster::nccl {

// Both are copied. A missing CUDA function is a bug of the caller.
std::unique_ptr<NcclApi> MakeLibraryApi(const abi::Functions& nccl, const CudaFunctions& cuda);

}  // namespace muster::nccl

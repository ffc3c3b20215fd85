// Launchers of the module's kernels: plain functions with a stream. For those who have CUDA's
// headers, or what stands in for them (launch.h).
//
// Results that are merged over threads are integers, so the shape of the grid changes no bit; it is
// fixed all the same (E3). Thread rule: a stream's launches come from one thread.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "worker/cuda/fixed_point.h"
#include "worker/cuda/module.h"

namespace muster::cuda {

cudaError_t LaunchQuantiseAdd(cudaStream_t stream, const float* gradient,
                              const MusterCudaSums& sums, const Scale& to, MusterCudaTold* told);
cudaError_t LaunchDequantise(cudaStream_t stream, const MusterCudaSums& sums, double factor,
                             float* out);
cudaError_t LaunchChecksum(cudaStream_t stream, const MusterCudaSums& sums, std::uint64_t* out);

// Beside quantising: worker/cuda/gradient_sums.h.
cudaError_t LaunchAddFloats(cudaStream_t stream, const float* gradient, const MusterCudaSums& sums,
                            MusterCudaTold* told);
cudaError_t LaunchLook(cudaStream_t stream, const float* gradient, std::int64_t length,
                       MusterCudaTold* told);
// One double for each kSquareBlock elements.
cudaError_t LaunchSquares(cudaStream_t stream, const MusterCudaSums& sums, double factor,
                          double* blocks);

struct StateVectors {
  float *w = nullptr, *m = nullptr, *v = nullptr;
};
cudaError_t LaunchUpdate(cudaStream_t stream, const MusterCudaSums& reduced, double factor,
                         const MusterCudaAdamW& constants, const StateVectors& state,
                         MusterCudaFolds* folds);
cudaError_t LaunchDigest(cudaStream_t stream, const float* values, std::int64_t length,
                         std::uint64_t index, std::uint32_t vector, std::uint64_t* out);

cudaError_t LaunchNormForward(cudaStream_t stream, const MusterCudaNorm& norm);
cudaError_t LaunchNormBackward(cudaStream_t stream, const MusterCudaNorm& norm);

}  // namespace muster::cuda

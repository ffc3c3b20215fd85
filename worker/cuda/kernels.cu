#include "worker/cuda/kernels.h"

#include "worker/cuda/adamw.h"
#include "worker/cuda/grid.h"
#include "worker/cuda/launch.h"

namespace muster::cuda {
namespace {

// Mod 2^64, so the order in which blocks add cannot be seen. All threads of the warp take part.
__device__ void AddToTotal(std::uint64_t mine, std::uint64_t* total) {
  for (int lanes = 16; lanes > 0; lanes /= 2) mine += __shfl_down_sync(kWholeWarp, mine, lanes);
  if (threadIdx.x % 32 == 0) {
    atomicAdd(reinterpret_cast<unsigned long long*>(total), static_cast<unsigned long long>(mine));
  }
}

template <typename Int>
__global__ void QuantiseAddKernel(const float* gradient, MusterCudaSums sums, Scale to,
                                  MusterCudaTold* total) {
  const Told told = QuantiseAdd(gradient, static_cast<Int*>(sums.device_sums), MyShare(sums.length),
                                sums.index, to);
  AddToTotal(told.checksum, &total->checksum);
  MergeFlags(told, total);
}

template <typename Sum>
__global__ void DequantiseKernel(MusterCudaSums sums, double factor, float* out) {
  const Sum* const q = static_cast<const Sum*>(sums.device_sums);
  const Share share = MyShare(sums.length);
  for (std::int64_t i = share.first; i < share.count; i += share.stride) {
    out[i] = Dequantise(q[i], factor);
  }
}

template <typename Int>
__global__ void ChecksumKernel(MusterCudaSums sums, std::uint64_t* total) {
  const Int* const q = static_cast<const Int*>(sums.device_sums);
  AddToTotal(Checksum(q, MyShare(sums.length), sums.index), total);
}

template <typename Sum>
__global__ void UpdateKernel(MusterCudaSums reduced, double factor, MusterCudaAdamW constants,
                             StateVectors state, MusterCudaFolds* total) {
  const Folds folds =
      UpdateState(static_cast<const Sum*>(reduced.device_sums), factor, constants, state.w, state.m,
                  state.v, MyShare(reduced.length), reduced.index);
  AddToTotal(folds.weights, &total->weights);
  AddToTotal(folds.first, &total->first);
  AddToTotal(folds.second, &total->second);
}

__global__ void DigestKernel(const float* values, std::int64_t length, std::uint64_t index,
                             std::uint32_t vector, std::uint64_t* total) {
  AddToTotal(DigestFold(values, MyShare(length), index, vector), total);
}

}  // namespace

cudaError_t LaunchQuantiseAdd(cudaStream_t stream, const float* gradient,
                              const MusterCudaSums& sums, const Scale& to, MusterCudaTold* told) {
  if (sums.length <= 0) return cudaSuccess;  // a grid of no blocks is an error
  const Grid grid = GridFor(sums.length);
  switch (sums.kind) {
    case MUSTER_CUDA_INT64:
      return Launch(QuantiseAddKernel<std::int64_t>, grid, stream, gradient, sums, to, told);
    case MUSTER_CUDA_INT32:
      return Launch(QuantiseAddKernel<std::int32_t>, grid, stream, gradient, sums, to, told);
    default:
      return cudaErrorInvalidValue;
  }
}

cudaError_t LaunchDequantise(cudaStream_t stream, const MusterCudaSums& sums, double factor,
                             float* out) {
  if (sums.length <= 0) return cudaSuccess;
  const Grid grid = GridFor(sums.length);
  switch (sums.kind) {
    case MUSTER_CUDA_INT64:
      return Launch(DequantiseKernel<std::int64_t>, grid, stream, sums, factor, out);
    case MUSTER_CUDA_INT32:
      return Launch(DequantiseKernel<std::int32_t>, grid, stream, sums, factor, out);
    case MUSTER_CUDA_FLOAT:
      return Launch(DequantiseKernel<float>, grid, stream, sums, factor, out);
    default:
      return cudaErrorInvalidValue;
  }
}

cudaError_t LaunchChecksum(cudaStream_t stream, const MusterCudaSums& sums, std::uint64_t* out) {
  if (sums.length <= 0) return cudaSuccess;
  const Grid grid = GridFor(sums.length);
  switch (sums.kind) {
    case MUSTER_CUDA_INT64:
      return Launch(ChecksumKernel<std::int64_t>, grid, stream, sums, out);
    case MUSTER_CUDA_INT32:
      return Launch(ChecksumKernel<std::int32_t>, grid, stream, sums, out);
    default:
      return cudaErrorInvalidValue;
  }
}

cudaError_t LaunchUpdate(cudaStream_t stream, const MusterCudaSums& reduced, double factor,
                         const MusterCudaAdamW& constants, const StateVectors& state,
                         MusterCudaFolds* folds) {
  if (reduced.length <= 0) return cudaSuccess;
  const Grid grid = GridFor(reduced.length);
  switch (reduced.kind) {
    case MUSTER_CUDA_INT64:
      return Launch(UpdateKernel<std::int64_t>, grid, stream, reduced, factor, constants, state,
                    folds);
    case MUSTER_CUDA_INT32:
      return Launch(UpdateKernel<std::int32_t>, grid, stream, reduced, factor, constants, state,
                    folds);
    case MUSTER_CUDA_FLOAT:
      return Launch(UpdateKernel<float>, grid, stream, reduced, factor, constants, state, folds);
    default:
      return cudaErrorInvalidValue;
  }
}

cudaError_t LaunchDigest(cudaStream_t stream, const float* values, std::int64_t length,
                         std::uint64_t index, std::uint32_t vector, std::uint64_t* out) {
  if (length <= 0) return cudaSuccess;
  return Launch(DigestKernel, GridFor(length), stream, values, length, index, vector, out);
}

}  // namespace muster::cuda

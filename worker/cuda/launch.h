// How this folder's kernels are launched and get shared memory whose size the launch decides: in
// words that nvcc reads, and a host compiler too.
//
// `<<<>>>` is read by nvcc alone, and then no machine without a GPU could run what stands around
// the arithmetic. So a kernel is launched by a function. nvcc makes a launch of it; a host compiler
// calls the emulator of tests/worker/cuda/simt, whose headers stand in for CUDA's. A kernel that
// obeys these rules runs in both:
//
//   - Parameters go by value and are trivially copyable. Pointers are of device memory.
//   - Blocks are independent: none waits for another, and no thread waits by reading in a loop.
//     What blocks merge is integers, by atomicAdd, atomicMax, atomicMin, atomicOr.
//   - A block that exchanges within warps has a multiple of 32 threads. All threads that a mask
//     names are there and come to the same line; so do all of a block at __syncthreads. A thread
//     leaves only when no other comes to a barrier or an exchange after that: rows past the end
//     compute nothing and stay.
//   - Exchanges: __shfl_sync, __shfl_{up,down,xor}_sync, __ballot_sync, __any_sync, __all_sync,
//     __reduce_{or,and,add,max,min}_sync, __syncwarp. Between threads that write shared memory and
//     threads of the same warp that read it stands __syncwarp: warps do not march in step.
//   - Shared memory: static `__shared__` arrays of trivial types, with nothing in them at first, or
//     SharedMemory<T>() below; never `extern __shared__` itself.
//   - __nv_bfloat16 through __float2bfloat16_rn and __bfloat162float. Tensor cores through
//     nvcuda::wmma, 16x16x16, bf16 to float: fill, load, mma, store. Which element of a tile a
//     thread holds is unknown, but it is the same in all fragments of one kind: what is done to a
//     fragment is done to all of its elements alike, or to each and its like in another one.
//   - Vector types (float4 and its kin) and __ldg are there. Inline PTX, cooperative groups,
//     cp.async, textures, __constant__, printf and recursion of launches are not.
//
// Thread rule: a stream's launches come from one thread.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <type_traits>
#include <utility>

#if !defined(__CUDACC__) && !defined(MUSTER_SIMT)
#error "kernels take nvcc, or a host compiler with the headers of tests/worker/cuda/simt"
#endif

namespace muster::cuda {

// More than 48 KiB of shared memory must be asked for first (cudaFuncSetAttribute,
// cudaFuncAttributeMaxDynamicSharedMemorySize).
struct Grid {
  dim3 blocks;  // none is an error
  dim3 threads;
  std::size_t shared_bytes = 0;  // SharedMemory's
};

// The thread's last error: what the launch itself says, or what failed before and nobody asked for.
// What goes wrong in the kernel is said by a later call.
template <typename... P, typename... A>
cudaError_t Launch(void (*kernel)(P...), const Grid& grid, cudaStream_t stream, A&&... arguments) {
  static_assert((std::is_trivially_copyable_v<P> && ...), "a kernel's parameters are copied");
  static_assert(sizeof...(P) == sizeof...(A), "a kernel has no default arguments");
#ifdef __CUDACC__
  kernel<<<grid.blocks, grid.threads, grid.shared_bytes, stream>>>(
      static_cast<P>(std::forward<A>(arguments))...);
#else
  simt::Launch(kernel, grid.blocks, grid.threads, grid.shared_bytes, stream,
               static_cast<P>(std::forward<A>(arguments))...);
#endif
  return cudaGetLastError();
}

// The block's grid.shared_bytes, aligned for anything; every call in a kernel gives the same bytes.
template <typename T>
__device__ T* SharedMemory() {
#ifdef __CUDACC__
  extern __shared__ __align__(128) unsigned char muster_shared_memory[];
  return reinterpret_cast<T*>(muster_shared_memory);
#else
  return static_cast<T*>(simt::SharedMemory());
#endif
}

}  // namespace muster::cuda

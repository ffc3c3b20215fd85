// The part of NCCL's C interface that Muster calls, declared by hand: its headers need CUDA's.
//
// Compared with nccl.h of the tag v2.28.9-1. Later versions append to the config and read no more of
// it than `size` says; all else here has been the same since 2.14. Private to this folder.
#pragma once

#include <climits>
#include <cstddef>
#include <type_traits>

#include "worker/nccl/nccl_api.h"

namespace muster::nccl::abi {

// ncclUniqueId is passed by value.
struct Id {
  char internal[128];
};
static_assert(sizeof(Id) == 128 && alignof(Id) == 1 && std::is_trivially_copyable_v<Id>);
static_assert(sizeof(Id) == sizeof(UniqueId));

// ncclResult_t
inline constexpr int kSuccess = 0;
inline constexpr int kUnhandledCudaError = 1;
inline constexpr int kSystemError = 2;
inline constexpr int kInternalError = 3;
inline constexpr int kInvalidArgument = 4;
inline constexpr int kInvalidUsage = 5;
inline constexpr int kRemoteError = 6;
inline constexpr int kInProgress = 7;
inline constexpr int kTimeout = 8;  // since 2.29

// ncclDataType_t and ncclRedOp_t
inline constexpr int kInt32 = 2;
inline constexpr int kInt64 = 4;
inline constexpr int kFloat32 = 7;
inline constexpr int kSum = 0;
inline constexpr int kMax = 2;

// ncclConfig_t as of 2.28. INT_MIN and null leave a choice to NCCL.
struct Config {
  std::size_t size = sizeof(Config);
  unsigned int magic = 0xcafebeef;
  unsigned int version = 22800;
  int blocking = INT_MIN;
  int cga_cluster_size = INT_MIN;
  int min_ctas = INT_MIN;
  int max_ctas = INT_MIN;
  const char* net_name = nullptr;
  int split_share = INT_MIN;
  int traffic_class = INT_MIN;
  const char* comm_name = nullptr;
  int collnet_enable = INT_MIN;
  int cta_policy = INT_MIN;
  int shrink_share = INT_MIN;
  int nvls_ctas = INT_MIN;
  int channels_per_net_peer = INT_MIN;
  int nvlink_centric_sched = INT_MIN;
};
static_assert(std::is_standard_layout_v<Config>);
static_assert(sizeof(Config) == 80 && offsetof(Config, blocking) == 16 &&
              offsetof(Config, net_name) == 32 && offsetof(Config, comm_name) == 48 &&
              offsetof(Config, nvlink_centric_sched) == 76);

// By their names in the library, without "nccl". Communicators and streams are pointers.
struct Functions {
  int (*GetVersion)(int* version) = nullptr;
  int (*GetUniqueId)(Id* id) = nullptr;
  int (*CommInitRankConfig)(void** comm, int ranks, Id id, int rank, Config* config) = nullptr;
  int (*CommGetAsyncError)(void* comm, int* error) = nullptr;
  int (*CommAbort)(void* comm) = nullptr;
  int (*CommFinalize)(void* comm) = nullptr;
  int (*CommDestroy)(void* comm) = nullptr;
  int (*GroupStart)() = nullptr;
  int (*GroupEnd)() = nullptr;
  int (*AllReduce)(const void* in, void* out, std::size_t count, int type, int op, void* comm,
                   void* stream) = nullptr;
  int (*Broadcast)(const void* in, void* out, std::size_t count, int type, int root, void* comm,
                   void* stream) = nullptr;
  const char* (*GetLastError)(void* comm) = nullptr;
};

}  // namespace muster::nccl::abi

// The part of NCCL's C interface that the stand-in exports, declared by hand as version 2.28.9 has it.
//
// Not shared with worker/nccl/abi.h: were both the same declaration, a mistake in it would show
// nowhere.
#pragma once

#include <cstddef>

extern "C" {

// NOLINTBEGIN: the names are NCCL's.
struct ncclUniqueId {
  char internal[128];
};
// A config's head. What comes after `blocking` is the caller's choice, and nothing here.
struct ncclConfig {
  std::size_t size;
  unsigned magic, version;
  int blocking;
};
// NOLINTEND

int ncclGetVersion(int* version);
int ncclGetUniqueId(ncclUniqueId* id);
int ncclCommInitRankConfig(void** comm, int ranks, ncclUniqueId id, int rank,
                           const ncclConfig* config);
int ncclCommGetAsyncError(void* comm, int* error);
int ncclGroupStart();
int ncclGroupEnd();
int ncclAllReduce(const void* in, void* out, std::size_t count, int type, int op, void* comm,
                  void* stream);
int ncclBroadcast(const void* in, void* out, std::size_t count, int type, int root, void* comm,
                  void* stream);
int ncclCommAbort(void* comm);
int ncclCommFinalize(void* comm);
int ncclCommDestroy(void* comm);
const char* ncclGetErrorString(int result);
const char* ncclGetLastError(void* comm);
}

namespace muster::standin {

enum Result : int {
  kSuccess = 0,
  kSystemError = 2,
  kInvalidArgument = 4,
  kInvalidUsage = 5,
  kRemoteError = 6,
  kInProgress = 7,
};
enum Type : int { kInt32 = 2, kInt64 = 4, kFloat32 = 7 };
enum Op : int { kSum = 0, kMax = 2 };
inline constexpr int kNoRoot = -1;

}  // namespace muster::standin

// A libnccl.so.2 that does nothing but answer: built three times, one good, one too old, one without
// ncclCommAbort. It checks how it is called against the ABI of 2.28 and knows no header of ours.
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {

struct Id {
  char bytes[128];
};
struct ConfigHead {
  std::size_t size;
  unsigned magic, version;
  int blocking, cga_cluster_size, min_ctas, max_ctas;
  const char* net_name;
  int split_share, traffic_class;
  const char* comm_name;
  int rest[6];
};
int communicator;

// What the test passes for its buffers and its stream: addresses that nobody follows.
bool Is(const void* address, std::uintptr_t number) {
  return reinterpret_cast<std::uintptr_t>(address) == number;
}

}  // namespace

extern "C" {

int ncclGetVersion(int* version) {
  *version = FAKE_VERSION;
  return 0;
}

int ncclGetUniqueId(Id* id) {
  for (int i = 0; i < 128; ++i) id->bytes[i] = static_cast<char>(i);
  return 0;
}

int ncclCommInitRankConfig(void** comm, int ranks, Id id, int rank, const ConfigHead* config) {
  bool good = ranks == 4 && rank == 3 && config->size == 80 && config->magic == 0xcafebeef &&
              config->version == 22800 && config->blocking == 0 && config->min_ctas == INT_MIN &&
              config->net_name == nullptr && config->comm_name == nullptr &&
              config->split_share == INT_MIN;
  for (int i = 0; i < 6; ++i) good = good && config->rest[i] == INT_MIN;
  for (int i = 0; i < 128; ++i) good = good && id.bytes[i] == static_cast<char>(i);
  *comm = good ? &communicator : nullptr;
  return good ? 7 : 4;
}

int ncclCommGetAsyncError(void* comm, int* error) {
  *error = 6;
  return comm == &communicator ? 0 : 4;
}

int ncclAllReduce(const void* in, void* out, std::size_t count, int type, int op, void* comm,
                  void* stream) {
  if (comm != &communicator || !Is(in, 0x100) || !Is(out, 0x200) || !Is(stream, 0x300)) return 4;
  if (count == 10 && type == 4 && op == 0) return 0;   // int64, sum
  if (count == 20 && type == 2 && op == 2) return 0;   // int32, max
  if (count == 30 && type == 7 && op == 0) return 99;  // float: an answer of the future
  return 5;
}

int ncclBroadcast(const void* in, void* out, std::size_t count, int type, int root, void* comm,
                  void* stream) {
  if (comm != &communicator || !Is(in, 0x100) || !Is(out, 0x200) || !Is(stream, 0x300)) return 4;
  return count == 40 && type == 2 && root == 1 ? 0 : 5;  // int32
}

#ifndef FAKE_WITHOUT_ABORT
int ncclCommAbort(void* comm) { return comm == &communicator ? 0 : 4; }
#endif
int ncclCommFinalize(void* comm) { return comm == &communicator ? 7 : 4; }
int ncclCommDestroy(void* comm) { return comm == &communicator ? 2 : 4; }
int ncclGroupStart() { return 0; }
int ncclGroupEnd() { return 8; }
const char* ncclGetLastError(void* comm) {
  return comm == nullptr ? "what it last warned of" : "of one communicator";
}
}

// Asks a real cuDNN, on a machine without a GPU, what it makes of the graphs of worker/cuda: which
// engines it has for them and what memory they take.
//
//   cudnn_check LIBRARY CAPABILITY BATCH CONTEXT HEADS WIDTH      as in: libcudnn.so.9 90 4 1024 12 768
//
// cuDNN prepares for a device that is described and not there ("deviceless"). Where the worker's
// calls name a handle, which takes a device, the description goes in its place; all other calls are
// the worker's own. What it finds out is what cuDNN accepts, and nothing of what a kernel computes.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "worker/cuda/cudnn_library.h"
#include "worker/cuda/cudnn_plan.h"

namespace muster::cuda::cudnn {
namespace {

// Attributes that only this program sets; as in cudnn_abi.h.
constexpr int kDeviceProperties = 38, kPropertiesAsJson = 2702, kOfCharacter = 24;
constexpr int kHeuristicProperties = 204, kEngineProperties = 1307, kPlanProperties = 407;

Functions real;
void* properties = nullptr;

int SetWithoutHandle(void* descriptor, int name, int type, std::int64_t count,
                     const void* elements) {
  if (name == kGraphHandle) return kSuccess;
  if (name == kPlanHandle) {
    return real.BackendSetAttribute(descriptor, kPlanProperties, kOfDescriptor, 1, &properties);
  }
  const int status = real.BackendSetAttribute(descriptor, name, type, count, elements);
  if (status != kSuccess || name != kHeuristicModeName) return status;
  return real.BackendSetAttribute(descriptor, kHeuristicProperties, kOfDescriptor, 1, &properties);
}

// A device of a capability as cuDNN writes one down; the sizes are those of an A100, H100 or B200,
// as far as they are published.
std::string Describe(int capability) {
  const bool is_ampere = capability < 90;
  const int shared = is_ampere ? 166912 : 232448;
  const int multiprocessors = is_ampere ? 108 : capability < 100 ? 132 : 148;
  char text[1024];
  std::snprintf(
      text, sizeof text,
      "{\"cudaDeviceId\":0,\"deviceName\":\"described\",\"deviceVer\":%d,\"driverVer\":13000,"
      "\"isTccDriver\":0,\"l2CacheSize\":52428800,\"maxCtasPerSM\":32,\"maxRegistersPerSM\":65536,"
      "\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":%d,"
      "\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"memClockRateKHz\":2619000,"
      "\"multiProcessorCount\":%d,\"pciDeviceId\":0,\"regsPerBlock\":65536,"
      "\"reservedSharedMemoryPerBlock\":1024,\"smClockRateKHz\":1980000,\"supportCoopLaunch\":1,"
      "\"totalGlobalMem\":85899345920,\"warpSize\":32,\"maxBlockSize\":[1024,1024,64],"
      "\"maxGridSize\":[2147483647,65535,65535]}",
      capability * 10, shared, multiprocessors);
  return text;
}

bool MakeProperties(int capability) {
  const std::string json = Describe(capability);
  int status = real.BackendCreateDescriptor(kDeviceProperties, &properties);
  if (status == kSuccess) {
    status = real.BackendSetAttribute(properties, kPropertiesAsJson, kOfCharacter,
                                      static_cast<std::int64_t>(json.size()), json.data());
  }
  if (status == kSuccess) status = real.BackendFinalize(properties);
  if (status == kSuccess) return true;
  char last[512] = "";
  real.GetLastErrorString(last, sizeof last);
  std::fprintf(stderr, "the device cannot be described: status %d (%s)\n", status, last);
  return false;
}

int Ask(const AttentionShape& shape) {
  Functions functions = real;
  functions.BackendSetAttribute = SetWithoutHandle;
  struct Pass {
    const char* name;
    Graph graph;
  };
  int failed = 0;
  for (const Pass& pass :
       {Pass{"forward", ForwardGraph(shape)}, Pass{"backward", BackwardGraph(shape)}}) {
    char text[1024] = "";
    const auto plan = Plan::Make(functions, nullptr, pass.name, pass.graph, {text, sizeof text});
    if (plan == nullptr) {
      std::fprintf(stderr, "%s: %s\n", pass.name, text);
      failed = 1;
      continue;
    }
    std::fprintf(stdout, "%s: engine %s, workspace of %lld bytes\n", pass.name,
                 plan->engine().c_str(), static_cast<long long>(plan->workspace_bytes()));
  }
  return failed;
}

}  // namespace
}  // namespace muster::cuda::cudnn

int main(int count, char** values) {
  using namespace muster::cuda::cudnn;
  if (count != 7) {
    std::fprintf(stderr, "usage: cudnn_check LIBRARY CAPABILITY BATCH CONTEXT HEADS WIDTH\n");
    return 2;
  }
  char text[1024] = "";
  if (!Open(values[1], real, {text, sizeof text})) {
    std::fprintf(stderr, "%s\n", text);
    return 1;
  }
  if (!MakeProperties(std::atoi(values[2]))) return 1;
  AttentionShape shape;
  shape.batch = std::atoll(values[3]);
  shape.context = std::atoll(values[4]);
  shape.heads = std::atoll(values[5]);
  shape.width = std::atoll(values[6]);
  return Ask(shape);
}

// A small libmuster_cuda.so: the head of the table, with another interface or build on demand.
#include "worker/cuda/module.h"

#ifndef FAKE_INTERFACE
#define FAKE_INTERFACE MUSTER_CUDA_INTERFACE
#endif
#ifndef FAKE_BUILD
#define FAKE_BUILD MUSTER_CUDA_BUILD
#endif

extern "C" const MusterCudaModule* muster_cuda_module() {
  static const MusterCudaModule module = [] {
    MusterCudaModule m{};
    m.interface_version = FAKE_INTERFACE;
    m.build = FAKE_BUILD;
    m.architectures = "sm_80";
    return m;
  }();
  return &module;
}

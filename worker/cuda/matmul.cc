#include "worker/cuda/matmul.h"

#include <cstdio>

namespace muster::cuda {
namespace {

constexpr std::int64_t kElements = 8;
constexpr std::uintptr_t kBytes = 16;

bool Aligned(const void* data) { return reinterpret_cast<std::uintptr_t>(data) % kBytes == 0; }

// `row`: how long a row is as the matrix lies in memory.
bool Fits(const void* data, std::int64_t stride, std::int64_t row) {
  return data != nullptr && Aligned(data) && stride % kElements == 0 && row % kElements == 0 &&
         stride >= row;
}

const char* CheckEpilogue(const Product& p) {
  if (p.epilogue == Epilogue::kNone) return nullptr;
  if (p.c == nullptr) return "an epilogue needs an output of bfloat16";
  const bool with_bias = p.epilogue != Epilogue::kGeluBackward;
  if (with_bias && (p.bias == nullptr || !Aligned(p.bias))) {
    return "the epilogue needs a bias that starts on 16 bytes";
  }
  if (p.epilogue != Epilogue::kBias && !Fits(p.pre, p.stride, p.n)) {
    return "the epilogue needs a pre-activation of the output's shape";
  }
  return nullptr;
}

}  // namespace

const char* CheckProduct(const Product& p) {
  if (p.m <= 0 || p.n <= 0 || p.k <= 0) return "each side must be 1 or more";
  if (!Fits(p.a.data, p.a.stride, p.a.transposed ? p.m : p.k)) {
    return "a must start on 16 bytes and have rows and a stride of multiples of 8";
  }
  if (!Fits(p.b.data, p.b.stride, p.b.transposed ? p.k : p.n)) {
    return "b must start on 16 bytes and have rows and a stride of multiples of 8";
  }
  if ((p.c == nullptr) == (p.c_float == nullptr)) return "there must be one output";
  const void* const out = p.c != nullptr ? static_cast<const void*>(p.c) : p.c_float;
  if (!Fits(out, p.stride, p.n)) {
    return "c must start on 16 bytes and have rows and a stride of multiples of 8";
  }
  if (p.accumulate && p.c_float == nullptr) return "only an output of floats accumulates";
  return CheckEpilogue(p);
}

std::int32_t Complain(MusterCudaText message, const char* call, const char* why) {
  if (message.text != nullptr && message.size > 0) {
    std::snprintf(message.text, static_cast<std::size_t>(message.size), "%s: %s", call, why);
  }
  return 1;
}

}  // namespace muster::cuda

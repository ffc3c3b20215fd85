#include "worker/comm/reduce.h"

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace muster::comm {
namespace {

template <typename T, typename Op>
void Loop(const std::byte* in, const std::byte* received, std::byte* out, std::size_t count,
          Op op) {
  const T* const __restrict a = reinterpret_cast<const T*>(in);
  const T* const __restrict b = reinterpret_cast<const T*>(received);
  T* const __restrict c = reinterpret_cast<T*>(out);
  for (std::size_t i = 0; i < count; ++i) c[i] = op(a[i], b[i]);
}

template <typename T, typename SumType>
void Apply(ReduceOp op, const std::byte* in, const std::byte* received, std::byte* out,
           std::size_t count) {
  if (op == ReduceOp::kSum) {
    Loop<SumType>(in, received, out, count, [](SumType a, SumType b) -> SumType { return a + b; });
  } else {
    Loop<T>(in, received, out, count, [](T a, T b) -> T { return b > a ? b : a; });
  }
}

}  // namespace

std::size_t ElementBytes(ElementType type) { return type == ElementType::kInt64 ? 8 : 4; }

void Combine(ReduceOp op, ElementType type, const std::byte* in, const std::byte* received,
             std::byte* out, std::size_t count) {
  // Integers are summed without a sign: they wrap, which is not an error here.
  switch (type) {
    case ElementType::kInt32:
      return Apply<std::int32_t, std::uint32_t>(op, in, received, out, count);
    case ElementType::kInt64:
      return Apply<std::int64_t, std::uint64_t>(op, in, received, out, count);
    case ElementType::kFloat32:
      return Apply<float, float>(op, in, received, out, count);
  }
}

}  // namespace muster::comm

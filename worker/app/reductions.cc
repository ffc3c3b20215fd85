#include "worker/app/reductions.h"

namespace muster::app {

comm::Reduction ToReduction(const train::ReduceVector& vector) {
  using Kind = train::ReduceVector::Kind;
  comm::Reduction r;
  r.op = vector.kind == Kind::kInt32Max ? comm::ReduceOp::kMax : comm::ReduceOp::kSum;
  switch (vector.kind) {
    case Kind::kInt64Sum:
      r.type = comm::ElementType::kInt64;
      break;
    case Kind::kInt32Sum:
    case Kind::kInt32Max:
      r.type = comm::ElementType::kInt32;
      break;
    case Kind::kFloatSum:
      r.type = comm::ElementType::kFloat32;
      break;
  }
  r.in = vector.in;
  r.out = vector.out;
  return r;
}

}  // namespace muster::app

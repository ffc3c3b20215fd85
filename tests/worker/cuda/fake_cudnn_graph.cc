#include "tests/worker/cuda/fake_cudnn_graph.h"

#include <cmath>
#include <functional>

namespace fake_cudnn {
namespace {

float FromBf16(std::uint16_t bits) {
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}
std::uint16_t ToBf16(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

void ForAll(const std::int64_t* d, const std::function<void(const std::int64_t*)>& visit) {
  std::int64_t i[4];
  for (i[0] = 0; i[0] < d[0]; ++i[0]) {
    for (i[1] = 0; i[1] < d[1]; ++i[1]) {
      for (i[2] = 0; i[2] < d[2]; ++i[2]) {
        for (i[3] = 0; i[3] < d[3]; ++i[3]) visit(i);
      }
    }
  }
}

double Point(int mode, double x, double b, bool t) {
  switch (mode) {
    case 0:
      return x + b;
    case 1:
      return x * b;
    case 6:
      return x / b;
    case 9:
      return x - b;
    case 13:
      return std::exp(x);
    case 15:
      return std::log(x);
    case 303:
      return x >= b ? 1 : 0;
    case 601:
      return t ? x : b;
    default:
      return NAN;
  }
}

void RunPointwise(const Descriptor* o, Arrays& arrays) {
  const Descriptor* const how = Child(o, 750);
  const int mode = Value<int>(how, 0);
  Array& y = arrays.at(Child(o, 753));
  const Array& x = arrays.at(Child(o, 751));
  const Array* const b = Has(o, 752) ? &arrays.at(Child(o, 752)) : nullptr;
  const Array* const t = Has(o, 758) ? &arrays.at(Child(o, 758)) : nullptr;
  const auto axis = mode == 501 ? Value<std::int64_t>(how, 9) : 0;
  ForAll(y.d, [&](const std::int64_t* i) {
    const double value =
        mode == 501 ? static_cast<double>(i[axis])
                    : Point(mode, x.Read(x.Offset(i)), b == nullptr ? 0 : b->Read(b->Offset(i)),
                            t != nullptr && t->Read(t->Offset(i)) != 0);
    y.Write(y.Offset(i), value);
  });
}

void RunMatmul(const Descriptor* o, Arrays& arrays) {
  const Array& a = arrays.at(Child(o, 1520));
  const Array& b = arrays.at(Child(o, 1521));
  Array& c = arrays.at(Child(o, 1522));
  ForAll(c.d, [&](const std::int64_t* i) {
    const std::int64_t left[4] = {i[0], i[1], i[2], 0}, right[4] = {i[0], i[1], 0, i[3]};
    const std::int64_t from = a.Offset(left), with = b.Offset(right);
    double sum = 0;
    for (std::int64_t k = 0; k < a.d[3]; ++k) {
      sum += a.Read(from + k * a.s[3]) * b.Read(with + k * b.s[2]);
    }
    c.Write(c.Offset(i), sum);
  });
}

void RunReduction(const Descriptor* o, Arrays& arrays) {
  const bool is_maximum = Value<int>(Child(o, 1612), 1600) == 3;
  const Array& x = arrays.at(Child(o, 1610));
  Array& y = arrays.at(Child(o, 1611));
  ForAll(y.d, [&](const std::int64_t* i) {
    double result = is_maximum ? -INFINITY : 0;
    for (std::int64_t k = 0; k < x.d[3]; ++k) {
      const std::int64_t from[4] = {i[0], i[1], i[2], k};
      const double value = x.Read(x.Offset(from));
      result = !is_maximum ? result + value : value > result ? value : result;
    }
    y.Write(y.Offset(i), result);
  });
}

// The same memory with other dimensions.
void RunReshape(const Descriptor* o, Arrays& arrays) {
  const Array& x = arrays.at(Child(o, 2200));
  Array& y = arrays.at(Child(o, 2201));
  ForAll(y.d, [&](const std::int64_t* i) { y.Write(y.Offset(i), x.Read(y.Offset(i))); });
}

}  // namespace

std::int64_t Array::Offset(const std::int64_t* i) const {
  std::int64_t at = 0;
  for (int k = 0; k < 4; ++k) at += (d[k] == 1 ? 0 : i[k]) * s[k];
  return at;
}
double Array::Read(std::int64_t at) const {
  if (is_virtual) return own[static_cast<std::size_t>(at)];
  if (type == 9) return FromBf16(static_cast<const std::uint16_t*>(memory)[at]);
  return static_cast<const float*>(memory)[at];
}
void Array::Write(std::int64_t at, double value) {
  const auto narrow = static_cast<float>(value);
  if (is_virtual) {
    const double bf16 = FromBf16(ToBf16(narrow));
    own[static_cast<std::size_t>(at)] = type == 9 ? bf16 : static_cast<double>(narrow);
  } else if (type == 9) {
    static_cast<std::uint16_t*>(memory)[at] = ToBf16(narrow);
  } else {
    static_cast<float*>(memory)[at] = narrow;
  }
}

std::vector<Descriptor*> TensorsOf(const Descriptor* graph) {
  std::vector<Descriptor*> tensors;
  const std::int64_t count = graph->at.at(801).count;
  for (std::int64_t i = 0; i < count; ++i) {
    const Descriptor* const o = Child(graph, 801, static_cast<std::size_t>(i));
    for (const auto& [name, attribute] : o->at) {
      Descriptor* const named = Child(o, name);
      bool known = named->type != 17;
      for (const Descriptor* other : tensors) known = known || other == named;
      if (!known) tensors.push_back(named);
    }
  }
  return tensors;
}

Array Lay(const Descriptor* tensor) {
  Array array;
  std::memcpy(array.d, tensor->at.at(902).bytes.data(), sizeof array.d);
  std::memcpy(array.s, tensor->at.at(903).bytes.data(), sizeof array.s);
  array.type = Value<int>(tensor, 901);
  array.is_virtual = Value<bool>(tensor, 907);
  std::int64_t span = 1;
  for (int k = 0; k < 4; ++k) span += (array.d[k] - 1) * array.s[k];
  if (array.is_virtual) array.own.assign(static_cast<std::size_t>(span), NAN);
  return array;
}

void RunOperation(const Descriptor* o, Arrays& arrays) {
  if (o->type == 13) RunPointwise(o, arrays);
  if (o->type == 19) RunMatmul(o, arrays);
  if (o->type == 22) RunReduction(o, arrays);
  if (o->type == 31) RunReshape(o, arrays);
}

}  // namespace fake_cudnn

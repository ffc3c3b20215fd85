// A described graph as fake_cudnn.cc holds it, and what it means: each operation computed on the CPU,
// in double, with every tensor rounded to its type. Knows no header of ours.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

namespace fake_cudnn {

struct Attribute {
  int type = 0;
  std::int64_t count = 0;
  std::vector<unsigned char> bytes;
};
struct Descriptor {
  int type = 0;
  bool final = false;
  std::map<int, Attribute> at;
  int engine = 0;         // of engines and their configurations
  std::int64_t room = 0;  // of plans
};

template <typename T>
T Value(const Descriptor* of, int name, std::size_t index = 0) {
  T value;
  std::memcpy(&value, of->at.at(name).bytes.data() + index * sizeof(T), sizeof value);
  return value;
}
inline Descriptor* Child(const Descriptor* of, int name, std::size_t index = 0) {
  return Value<Descriptor*>(of, name, index);
}
inline bool Has(const Descriptor* of, int name) { return of->at.count(name) != 0; }

// A tensor while a graph runs: where it lies, whether that is given or our own.
struct Array {
  std::int64_t d[4], s[4];
  int type = 0;
  bool is_virtual = false;
  void* memory = nullptr;
  std::vector<double> own;

  // Where a dimension is 1 it serves all indices.
  std::int64_t Offset(const std::int64_t* i) const;
  double Read(std::int64_t at) const;
  void Write(std::int64_t at, double value);
};
using Arrays = std::map<const Descriptor*, Array>;

Array Lay(const Descriptor* tensor);
// All tensors that a graph's operations name.
std::vector<Descriptor*> TensorsOf(const Descriptor* graph);
void RunOperation(const Descriptor* operation, Arrays& arrays);

}  // namespace fake_cudnn

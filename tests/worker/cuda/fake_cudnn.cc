// A libcudnn.so.9 on the CPU: built three times, one good, one too old, one without
// cudnnSetStream. It knows no header of ours. It takes descriptors as the documented interface
// says, refuses what is not of 9.13, and computes what the described graph means (fake_cudnn_graph.h).
//
// Of its engines for a graph with a dQ, 3 calls itself nondeterministic, 5 cannot be prepared, and 6
// serves; for others 7 serves. A batch of 7 leaves engine 3 alone, a batch of 5 wants too much memory.
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/worker/cuda/fake_cudnn_graph.h"

namespace {

using namespace fake_cudnn;

constexpr int kBad = 2000, kNotFinal = 2004, kUnsupported = 3000;

int handle;
void* stream = nullptr;
std::string last;
// What a test asks for.
int objects = 0, executed = 0, plans = 0;

int Refuse(int status, const std::string& why) {
  last = why;
  return status;
}

std::size_t SizeOf(int type) {
  switch (type) {
    case 2:
      return 1;  // bool
    case 0:
    case 3:
    case 6:
    case 15:
      return 8;  // handle, int64, pointer, descriptor
    case 1:
    case 8:
    case 14:
    case 18:
      return 4;  // enumerations
    default:
      return 0;
  }
}

// Of each kind of descriptor: attributes with the type of their elements; all must be set but those
// named after the semicolon.
struct Rule {
  std::map<int, int> needed, optional;
};
const std::map<int, Rule>& Rules() {
  static const std::map<int, Rule> rules = {
      {0, {{{0, 14}, {1, 1}}, {{9, 3}}}},  // pointwise
      {4, {{{200, 8}, {201, 15}}, {}}},    // heuristic
      {5, {{{400, 0}, {401, 15}}, {}}},    // plan
      {13, {{{750, 15}, {751, 15}, {753, 15}}, {{752, 15}, {758, 15}}}},
      {15, {{{800, 0}, {801, 15}}, {}}},              // graph
      {16, {{{1000, 3}, {1001, 6}, {1003, 6}}, {}}},  // pack
      {17, {{{900, 3}, {901, 1}, {902, 3}, {903, 3}, {906, 3}, {907, 2}, {908, 2}}, {}}},
      {18, {{{1500, 1}}, {}}},  // matmul
      {19, {{{1520, 15}, {1521, 15}, {1522, 15}, {1523, 15}}, {}}},
      {21, {{{1600, 18}, {1601, 1}, {1602, 2}}, {}}},  // reduction
      {22, {{{1610, 15}, {1611, 15}, {1612, 15}}, {}}},
      {31, {{{2200, 15}, {2201, 15}}, {}}},  // reshape
      {2, {}},
      {3, {}}};
  return rules;
}

int CheckTensor(const Descriptor* tensor) {
  if (tensor->at.at(902).count != 4 || tensor->at.at(903).count != 4) {
    return Refuse(kBad, "a tensor of attention has four dimensions");
  }
  if (Value<std::int64_t>(tensor, 900) != 16) return Refuse(kBad, "alignment is 16");
  const Array array = Lay(tensor);
  if (!array.is_virtual && array.type != 0 && array.type != 9) return Refuse(kBad, "a type");
  for (const std::int64_t d : array.d) {
    if (d < 1) return Refuse(kBad, "a dimension");
  }
  return 0;
}

// What the documentation asks of the operations, as far as their meaning does not show it.
int CheckGraph(const Descriptor* graph) {
  if (Value<void*>(graph, 800) != &handle) return Refuse(kBad, "another handle");
  std::map<std::int64_t, int> ids;
  for (const Descriptor* tensor : TensorsOf(graph)) {
    if (++ids[Value<std::int64_t>(tensor, 906)] > 1) return Refuse(2009, "an id is there twice");
  }
  const std::int64_t count = graph->at.at(801).count;
  for (std::int64_t i = 0; i < count; ++i) {
    const Descriptor* const o = Child(graph, 801, static_cast<std::size_t>(i));
    if (o->type == 22 && !Value<bool>(Child(o, 1612), 1602)) {
      return Refuse(kUnsupported, "a sum in any order");
    }
    if (o->type != 19) continue;
    const Array a = Lay(Child(o, 1520)), b = Lay(Child(o, 1521)), c = Lay(Child(o, 1522));
    if (a.d[3] != b.d[2] || a.d[2] != c.d[2] || b.d[3] != c.d[3]) {
      return Refuse(2008, "a product of matrices that do not fit");
    }
    if (!c.is_virtual && c.type != 9) return Refuse(kUnsupported, "dQ added up by all blocks");
  }
  return 0;
}

// Queries' dimensions: those of the tensor with the least id.
Array QueriesOf(const Descriptor* graph) {
  const Descriptor* first = nullptr;
  for (const Descriptor* tensor : TensorsOf(graph)) {
    const auto id = Value<std::int64_t>(tensor, 906);
    if (first == nullptr || id < Value<std::int64_t>(first, 906)) first = tensor;
  }
  return Lay(first);
}

std::vector<int> EnginesOf(const Descriptor* graph) {
  const std::int64_t batch = QueriesOf(graph).d[0];
  if (batch == 7) return {3};
  int reals = 0;
  for (const Descriptor* tensor : TensorsOf(graph)) reals += Value<bool>(tensor, 907) ? 0 : 1;
  return reals > 8 ? std::vector<int>{3, 5, 6} : std::vector<int>{7};
}

std::int64_t RoomOf(const Descriptor* graph, int engine) {
  const Array q = QueriesOf(graph);
  if (q.d[0] == 5) return std::int64_t{1} << 30;
  return engine == 7 ? 256 : q.d[0] * q.d[1] * q.d[2] * q.d[2] * 2 + 256;
}

int Execute(const Descriptor* plan, const Descriptor* pack) {
  const Descriptor* const config = Child(plan, 401);
  const Descriptor* const graph = Child(config, -1);
  const std::int64_t bound = pack->at.at(1000).count;
  if (pack->at.at(1001).count != bound) return Refuse(kBad, "ids without pointers");
  auto* const workspace = Value<unsigned char*>(pack, 1003);
  if (reinterpret_cast<std::uintptr_t>(workspace) % 256 != 0 || workspace == nullptr) {
    return Refuse(2003, "the workspace");
  }
  // Not by memset, which AddressSanitizer looks into: the memory is the emulated device's.
  volatile unsigned char* const room = workspace;
  for (std::int64_t i = 0; i < plan->room; ++i) room[i] = 0xa5;
  Arrays arrays;
  std::int64_t reals = 0;
  for (const Descriptor* tensor : TensorsOf(graph)) {
    Array array = Lay(tensor);
    for (std::int64_t i = 0; i < bound; ++i) {
      const auto at = static_cast<std::size_t>(i);
      if (Value<std::int64_t>(pack, 1000, at) != Value<std::int64_t>(tensor, 906)) continue;
      array.memory = Value<void*>(pack, 1001, at);
    }
    reals += array.is_virtual ? 0 : 1;
    const bool is_scalar = Value<bool>(tensor, 908);
    const auto address = reinterpret_cast<std::uintptr_t>(array.memory);
    if (!array.is_virtual && (address == 0 || (!is_scalar && address % 16 != 0))) {
      return Refuse(2002, "a tensor is nowhere");
    }
    arrays.emplace(tensor, std::move(array));
  }
  if (reals != bound) return Refuse(kBad, "a pointer for no tensor");
  const std::int64_t count = graph->at.at(801).count;
  for (std::int64_t i = 0; i < count; ++i) {
    RunOperation(Child(graph, 801, static_cast<std::size_t>(i)), arrays);
  }
  ++executed;
  return 0;
}

template <typename T>
int Give(std::int64_t requested, std::int64_t* count, void* to, const std::vector<T>& values) {
  *count = static_cast<std::int64_t>(values.size());
  if (requested < *count) return Refuse(2006, "room for too few");
  std::memcpy(to, values.data(), values.size() * sizeof(T));
  return 0;
}

int GiveConfigs(const Descriptor* heuristic, std::int64_t requested, std::int64_t* count,
                Descriptor** to) {
  Descriptor* const graph = Child(heuristic, 201);
  const std::vector<int> engines = EnginesOf(graph);
  *count = static_cast<std::int64_t>(engines.size());
  for (std::int64_t i = 0; i < requested && i < *count; ++i) {
    if (to[i]->type != 3) return Refuse(2012, "no configuration of an engine");
    to[i]->engine = engines[static_cast<std::size_t>(i)];
    to[i]->final = true;
    Attribute of;
    of.bytes.resize(sizeof graph);
    std::memcpy(of.bytes.data(), &graph, sizeof graph);
    to[i]->at[-1] = of;
  }
  return 0;
}

int FinalizePlan(Descriptor* plan) {
  const Descriptor* const config = Child(plan, 401);
  if (Value<void*>(plan, 400) != &handle || !config->final) return Refuse(kNotFinal, "the engine");
  if (config->engine == 5) return Refuse(kUnsupported, "engine 5 has no room on this device");
  plan->room = RoomOf(Child(config, -1), config->engine);
  ++plans;
  return 0;
}

}  // namespace

extern "C" {

// For the test alone.
int fake_cudnn_count(int which) { return which == 0 ? objects : which == 1 ? executed : plans; }

std::size_t cudnnGetVersion() { return FAKE_VERSION; }
void cudnnGetLastErrorString(char* text, std::size_t size) {
  std::strncpy(text, last.c_str(), size);
}
int cudnnCreate(void** out) {
  ++objects;
  *out = &handle;
  return 0;
}
int cudnnDestroy(void*) {
  --objects;
  return 0;
}
#ifndef FAKE_WITHOUT_SET_STREAM
int cudnnSetStream(void* of, void* to) {
  stream = to;
  return of == &handle ? 0 : kBad;
}
#endif

int cudnnBackendCreateDescriptor(int type, void** out) {
  if (Rules().count(type) == 0) return Refuse(2012, "a descriptor of no such type");
  ++objects;
  auto* const made = new Descriptor;
  made->type = type;
  *out = made;
  return 0;
}
int cudnnBackendDestroyDescriptor(void* descriptor) {
  --objects;
  delete static_cast<Descriptor*>(descriptor);
  return 0;
}

int cudnnBackendSetAttribute(void* descriptor, int name, int type, std::int64_t count,
                             const void* elements) {
  auto* const to = static_cast<Descriptor*>(descriptor);
  const Rule& rule = Rules().at(to->type);
  const auto needed = rule.needed.find(name), optional = rule.optional.find(name);
  const int right = needed != rule.needed.end()       ? needed->second
                    : optional != rule.optional.end() ? optional->second
                                                      : -1;
  if (right != type) return Refuse(2010, "attribute " + std::to_string(name));
  if (to->final || count < 1) return Refuse(kBad, "attribute " + std::to_string(name));
  const auto* const bytes = static_cast<const unsigned char*>(elements);
  Attribute attribute;
  attribute.type = type;
  attribute.count = count;
  attribute.bytes.assign(bytes, bytes + static_cast<std::size_t>(count) * SizeOf(type));
  to->at[name] = attribute;
  for (std::int64_t i = 0; type == 15 && i < count; ++i) {
    const Descriptor* const child = Child(to, name, static_cast<std::size_t>(i));
    if (child == nullptr || !child->final) return Refuse(kNotFinal, "a part that is not finished");
  }
  return 0;
}

int cudnnBackendGetAttribute(void* descriptor, int name, int type, std::int64_t requested,
                             std::int64_t* count, void* elements) {
  auto* const from = static_cast<Descriptor*>(descriptor);
  if (!from->final && from->type != 2) return Refuse(kNotFinal, "nothing is known of it yet");
  if (from->type == 4 && name == 202 && type == 15) {
    return GiveConfigs(from, requested, count, static_cast<Descriptor**>(elements));
  }
  if (from->type == 3 && name == 300 && type == 15) {
    Descriptor* const engine = *static_cast<Descriptor**>(elements);
    if (engine->type != 2) return Refuse(2012, "no engine");
    engine->engine = from->engine;
    engine->final = true;
    *count = 1;
    return 0;
  }
  if (from->type == 2 && name == 1301 && type == 3) {
    return Give<std::int64_t>(requested, count, elements, {from->engine});
  }
  if (from->type == 2 && name == 1303 && type == 11) {
    const std::vector<int> notes = from->engine == 3 ? std::vector<int>{0, 4} : std::vector<int>{0};
    return Give(requested, count, elements, notes);
  }
  if (from->type == 5 && name == 402 && type == 3) {
    return Give<std::int64_t>(requested, count, elements, {from->room});
  }
  return Refuse(2010, "attribute " + std::to_string(name));
}

int cudnnBackendFinalize(void* descriptor) {
  auto* const of = static_cast<Descriptor*>(descriptor);
  for (const auto& [name, type] : Rules().at(of->type).needed) {
    if (!Has(of, name)) return Refuse(kBad, "attribute " + std::to_string(name) + " is missing");
  }
  int status = 0;
  if (of->type == 17) status = CheckTensor(of);
  if (of->type == 15) status = CheckGraph(of);
  if (of->type == 4 && Value<int>(of, 200) != 3) status = Refuse(kBad, "the heuristic's mode");
  if (of->type == 5) status = FinalizePlan(of);
  of->final = status == 0;
  return status;
}

int cudnnBackendExecute(void* of, void* plan, void* pack) {
  const auto* const prepared = static_cast<Descriptor*>(plan);
  const auto* const bound = static_cast<Descriptor*>(pack);
  if (of != &handle || stream == nullptr) return Refuse(2005, "the handle has no stream");
  if (prepared->type != 5 || !prepared->final || bound->type != 16 || !bound->final) {
    return Refuse(kNotFinal, "a plan or a pack");
  }
  return Execute(prepared, bound);
}
}

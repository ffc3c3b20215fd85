// A libcublasLt.so.13 on the CPU: built four times, one good, one too old, one without
// cublasLtMatmulPreferenceDestroy, one for an engine whose addresses no test knows. It knows no header of ours. It multiplies as the documented interface says,
// matrices by columns, and refuses what is not of the ABI of 13.0 or was not promised.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>

namespace {

constexpr int kInvalid = 7;
constexpr int kUnsupported = 15;

struct Desc {
  int magic = 1;
  std::int32_t transpose_a = 0, transpose_b = 0;
  std::uint32_t epilogue = 1;
  const std::uint16_t* bias = nullptr;
  std::uint16_t* aux = nullptr;
  std::int64_t aux_stride = 0;
};
struct Layout {
  int magic = 2;
  int type = 0;
  std::uint64_t rows = 0, columns = 0;
  std::int64_t stride = 0;
};
struct Preference {
  int magic = 3;
  std::uint64_t workspace = 0;
  std::uint32_t schemes = 7;
  std::uint32_t alignments[4] = {256, 256, 256, 256};
};
// data: for which rows and columns (0: made by its id), nine attributes of 32 bits, a mark.
struct Algorithm {
  std::uint64_t data[8];
};
constexpr int kAttributes = 9;
constexpr std::uint32_t kMostId = 20, kBadTile = 99, kGreedyTile = 98;
std::uint32_t AttributeOf(const Algorithm& algorithm, int attribute) {
  std::uint32_t value;
  std::memcpy(&value, reinterpret_cast<const char*>(&algorithm.data[2]) + 4 * attribute,
              sizeof value);
  return value;
}
void SetAttributeOf(Algorithm& algorithm, int attribute, std::uint32_t value) {
  std::memcpy(reinterpret_cast<char*>(&algorithm.data[2]) + 4 * attribute, &value, sizeof value);
}
bool IsMade(const Algorithm& algorithm) { return algorithm.data[7] == 0x5eed; }
struct Result {
  Algorithm algorithm;
  std::size_t workspace;
  int state;
  float waves;
  int reserved[4];
};
static_assert(sizeof(Result) == 96);

int handle;
// What a test asks for.
int objects = 0, heuristics = 0, products = 0, last_id = -1, last_tile = -1;
// Who does what a stream is given; null: at once.
using Enqueue = int (*)(void* stream, int (*run)(const void* work), const void* work,
                        std::size_t size);
Enqueue enqueue_with = nullptr;

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

double Tanh(double x) { return std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)); }
double Gelu(double x) { return 0.5 * x * (1 + Tanh(x)); }
double GeluSlope(double x) {
  const double t = Tanh(x);
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.7978845608028654 * (1 + 3 * 0.044715 * x * x);
}

// What the test passes: an address that nobody follows, or an engine's own.
bool IsTheTests(const void* address, std::uintptr_t number) {
#ifdef FAKE_FOR_ENGINE
  (void)number;
  return address != nullptr;
#else
  return reinterpret_cast<std::uintptr_t>(address) == number;
#endif
}

template <typename T>
int Take(T& to, const void* from, std::size_t size) {
  if (size != sizeof to) return kInvalid;
  std::memcpy(&to, from, size);
  return 0;
}

// Rows and columns of op(matrix), when it has them.
bool IsOf(const Layout& layout, bool transposed, std::uint64_t rows, std::uint64_t columns) {
  return layout.magic == 2 && layout.type == 14 && layout.rows == (transposed ? columns : rows) &&
         layout.columns == (transposed ? rows : columns) &&
         layout.stride >= static_cast<std::int64_t>(layout.rows);
}
double At(const void* data, const Layout& layout, bool transposed, std::uint64_t row,
          std::uint64_t column) {
  if (transposed) {
    const std::uint64_t swapped = row;
    row = column;
    column = swapped;
  }
  const auto* const values = static_cast<const std::uint16_t*>(data);
  return static_cast<double>(
      FromBf16(values[column * static_cast<std::uint64_t>(layout.stride) + row]));
}

int CheckShapes(const Desc* desc, const Layout* a, const Layout* b, const Layout* c) {
  if (desc->magic != 1 || c->magic != 2) return kInvalid;
  const std::uint64_t k = desc->transpose_a != 0 ? a->rows : a->columns;
  const bool good = IsOf(*a, desc->transpose_a != 0, c->rows, k) &&
                    IsOf(*b, desc->transpose_b != 0, k, c->columns) &&
                    c->stride >= static_cast<std::int64_t>(c->rows) &&
                    (c->type == 0 || c->type == 14);
  if (!good) return kInvalid;
  const bool with_aux = (desc->epilogue & 128) != 0;
  const bool with_bias = (desc->epilogue & 4) != 0;
  if (desc->epilogue != 1 && c->type != 14) return kUnsupported;
  if (with_bias && desc->bias == nullptr) return kInvalid;
  const bool aux_good = desc->aux != nullptr && desc->aux_stride % 8 == 0 &&
                        desc->aux_stride >= static_cast<std::int64_t>(c->rows);
  return with_aux && !aux_good ? kInvalid : 0;
}

float Epilogue(const Desc& desc, std::uint64_t row, std::uint64_t column, double sum) {
  if ((desc.epilogue & 4) != 0) sum += static_cast<double>(FromBf16(desc.bias[row]));
  const std::uint64_t at = column * static_cast<std::uint64_t>(desc.aux_stride) + row;
  switch (desc.epilogue) {
    case 164:  // GELU with its input kept, after a bias
      desc.aux[at] = ToBf16(static_cast<float>(sum));
      return static_cast<float>(Gelu(sum));
    case 192:  // times the slope of GELU
      return static_cast<float>(sum * GeluSlope(static_cast<double>(FromBf16(desc.aux[at]))));
    default:
      return static_cast<float>(sum);
  }
}

struct Work {
  Desc desc;
  Layout left, right, out;
  const void *a, *b;
  void* d;
  float kept;
};

int Multiply(const void* opaque) {
  const Work& w = *static_cast<const Work*>(opaque);
  const bool ta = w.desc.transpose_a != 0, tb = w.desc.transpose_b != 0;
  const std::uint64_t k = ta ? w.left.rows : w.left.columns;
  for (std::uint64_t column = 0; column < w.out.columns; ++column) {
    for (std::uint64_t row = 0; row < w.out.rows; ++row) {
      double sum = 0;
      for (std::uint64_t i = 0; i < k; ++i) {
        sum += At(w.a, w.left, ta, row, i) * At(w.b, w.right, tb, i, column);
      }
      const std::uint64_t at = column * static_cast<std::uint64_t>(w.out.stride) + row;
      if (w.out.type == 0) {
        float& to = static_cast<float*>(w.d)[at];
        to = static_cast<float>(sum + (w.kept == 1 ? static_cast<double>(to) : 0));
      } else {
        static_cast<std::uint16_t*>(w.d)[at] = ToBf16(Epilogue(w.desc, row, column, sum));
      }
    }
  }
  return 0;
}

}  // namespace

extern "C" {

// For the test alone.
int fake_cublaslt_count(int which) {
  const int counts[] = {objects, heuristics, products, last_id, last_tile};
  return counts[which];
}
void fake_cublaslt_enqueue_with(Enqueue enqueue) { enqueue_with = enqueue; }

std::size_t cublasLtGetVersion() { return FAKE_VERSION; }
int cublasLtCreate(void** out) {
  ++objects;
  *out = &handle;
  return 0;
}
int cublasLtDestroy(void* of) {
  --objects;
  return of == &handle ? 0 : kInvalid;
}

int cublasLtMatmulDescCreate(void** desc, int compute_type, int scale_type) {
  if (compute_type != 68 || scale_type != 0) return kUnsupported;
  ++objects;
  *desc = new Desc;
  return 0;
}
int cublasLtMatmulDescDestroy(void* desc) {
  --objects;
  delete static_cast<Desc*>(desc);
  return 0;
}
int cublasLtMatmulDescSetAttribute(void* desc, int attribute, const void* value, std::size_t size) {
  auto* const to = static_cast<Desc*>(desc);
  switch (attribute) {
    case 3:
      return Take(to->transpose_a, value, size);
    case 4:
      return Take(to->transpose_b, value, size);
    case 7:
      return Take(to->epilogue, value, size);
    case 8:
      return Take(to->bias, value, size);
    case 11:
      return Take(to->aux, value, size);
    case 12:
      return Take(to->aux_stride, value, size);
    default:
      return kInvalid;
  }
}

int cublasLtMatrixLayoutCreate(void** layout, int type, std::uint64_t rows, std::uint64_t columns,
                               std::int64_t stride) {
  ++objects;
  auto* const made = new Layout;
  made->type = type;
  made->rows = rows;
  made->columns = columns;
  made->stride = stride;
  *layout = made;
  return 0;
}
int cublasLtMatrixLayoutDestroy(void* layout) {
  --objects;
  delete static_cast<Layout*>(layout);
  return 0;
}

int cublasLtMatmulPreferenceCreate(void** preference) {
  ++objects;
  *preference = new Preference;
  return 0;
}
#ifndef FAKE_WITHOUT_DESTROY
int cublasLtMatmulPreferenceDestroy(void* preference) {
  --objects;
  delete static_cast<Preference*>(preference);
  return 0;
}
#endif
int cublasLtMatmulPreferenceSetAttribute(void* preference, int attribute, const void* value,
                                         std::size_t size) {
  auto* const to = static_cast<Preference*>(preference);
  if (attribute == 1) return Take(to->workspace, value, size);
  if (attribute == 3) return Take(to->schemes, value, size);
  if (attribute >= 5 && attribute <= 8) return Take(to->alignments[attribute - 5], value, size);
  return kInvalid;
}

// Its algorithm carries what it was chosen for. More than 4096 rows of c it has none for.
int cublasLtMatmulAlgoGetHeuristic(void* of, void* desc, void* a, void* b, void* c, void* d,
                                   void* preference, int requested, Result* results,
                                   int* returned) {
  ++heuristics;
  const auto* const p = static_cast<Preference*>(preference);
  const auto* const out = static_cast<Layout*>(c);
  *returned = 0;
  bool good = of == &handle && c == d && requested >= 1 && p->magic == 3 && p->schemes == 2 &&
              p->workspace == 33554432;
  for (const std::uint32_t alignment : p->alignments) good = good && alignment == 16;
  const auto* const description = static_cast<Desc*>(desc);
  // It must not depend on where things lie: the pointers say 16 bytes and no more.
  for (const void* pointer :
       {static_cast<const void*>(description->bias), static_cast<const void*>(description->aux)}) {
    const auto address = reinterpret_cast<std::uintptr_t>(pointer);
    good = good && (address == 0 || address % 32 == 16);
  }
  if (!good) return kInvalid;
  const int wrong = CheckShapes(description, static_cast<Layout*>(a), static_cast<Layout*>(b), out);
  if (wrong != 0) return wrong;
  if (out->rows > 4096) return kUnsupported;
  // Ids from 11 on; the third cannot be made by its numbers.
  for (*returned = 0; *returned < requested && *returned < 4; ++*returned) {
    Result& result = results[*returned];
    result = Result{};
    result.algorithm.data[0] = out->rows;
    result.algorithm.data[1] = out->columns;
    for (int i = 0; i < kAttributes; ++i) {
      SetAttributeOf(result.algorithm, i, static_cast<std::uint32_t>(i + *returned));
    }
    SetAttributeOf(result.algorithm, 0, static_cast<std::uint32_t>(11 + *returned));
    if (*returned == 2) SetAttributeOf(result.algorithm, 1, kBadTile);
    result.algorithm.data[7] = 0x5eed;
  }
  return 0;
}

int cublasLtMatmulAlgoInit(void* of, int compute_type, int scale_type, int a_type, int b_type,
                           int c_type, int d_type, int id, Algorithm* algorithm) {
  if (of != &handle || compute_type != 68 || scale_type != 0 || a_type != 14 || b_type != 14 ||
      (c_type != 0 && c_type != 14) || c_type != d_type) {
    return kInvalid;
  }
  if (id < 0 || static_cast<std::uint32_t>(id) > kMostId) return kUnsupported;
  *algorithm = Algorithm{};
  SetAttributeOf(*algorithm, 0, static_cast<std::uint32_t>(id));
  algorithm->data[7] = 0x5eed;
  return 0;
}

int cublasLtMatmulAlgoConfigSetAttribute(Algorithm* algorithm, int attribute, const void* value,
                                         std::size_t size) {
  if (attribute < 1 || attribute >= kAttributes || !IsMade(*algorithm)) return kInvalid;
  std::uint16_t narrow = 0;
  std::uint32_t wide = 0;
  const int wrong = attribute < 7 ? Take(wide, value, size) : Take(narrow, value, size);
  if (wrong == 0) SetAttributeOf(*algorithm, attribute, attribute < 7 ? wide : narrow);
  return wrong;
}

int cublasLtMatmulAlgoConfigGetAttribute(const Algorithm* algorithm, int attribute, void* value,
                                         std::size_t size, std::size_t* written) {
  if (attribute < 0 || attribute >= kAttributes || !IsMade(*algorithm)) return kInvalid;
  *written = attribute < 7 ? 4 : 2;
  if (size != *written) return kInvalid;
  const std::uint32_t wide = AttributeOf(*algorithm, attribute);
  const auto narrow = static_cast<std::uint16_t>(wide);
  std::memcpy(value, attribute < 7 ? static_cast<const void*>(&wide) : &narrow, size);
  return 0;
}

int cublasLtMatmulAlgoCheck(void* of, void* desc, void* a, void* b, void* c, void* d,
                            const Algorithm* algorithm, Result* result) {
  if (of != &handle || c != d || !IsMade(*algorithm)) return kInvalid;
  const int wrong = CheckShapes(static_cast<Desc*>(desc), static_cast<Layout*>(a),
                                static_cast<Layout*>(b), static_cast<Layout*>(c));
  if (wrong != 0) return wrong;
  *result = Result{};
  const std::uint32_t tile = AttributeOf(*algorithm, 1);
  if (tile == kBadTile) return kUnsupported;
  result->workspace = tile == kGreedyTile ? std::size_t{64} << 20 : 0;
  return 0;
}

int cublasLtMatmul(void* of, void* desc, const void* alpha, const void* a, void* a_layout,
                   const void* b, void* b_layout, const void* beta, const void* c, void* c_layout,
                   void* d, void* d_layout, const Algorithm* algorithm, void* workspace,
                   std::size_t workspace_size, void* stream) {
  ++products;
  const auto* const description = static_cast<Desc*>(desc);
  const auto& left = *static_cast<Layout*>(a_layout);
  const auto& right = *static_cast<Layout*>(b_layout);
  const auto& out = *static_cast<Layout*>(c_layout);
  const float one = *static_cast<const float*>(alpha), kept = *static_cast<const float*>(beta);
  const bool for_it = algorithm->data[0] == 0 ||
                      (algorithm->data[0] == out.rows && algorithm->data[1] == out.columns);
  const bool good = of == &handle && one == 1 && (kept == 0 || (kept == 1 && out.type == 0)) &&
                    c == d && c_layout == d_layout && IsMade(*algorithm) && for_it &&
                    IsTheTests(workspace, 0x4000) && workspace_size == 33554432 &&
                    IsTheTests(stream, 0x300);
  if (!good) return kInvalid;
  const int wrong = CheckShapes(description, &left, &right, &out);
  if (wrong != 0) return wrong;
  last_id = static_cast<int>(AttributeOf(*algorithm, 0));
  last_tile = static_cast<int>(AttributeOf(*algorithm, 1));
  const Work work{*description, left, right, out, a, b, d, kept};
  return enqueue_with == nullptr ? Multiply(&work)
                                 : enqueue_with(stream, Multiply, &work, sizeof work);
}
}

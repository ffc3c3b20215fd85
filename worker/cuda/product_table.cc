#include "worker/cuda/product_table.h"

#include <array>
#include <charconv>

namespace muster::cuda {
namespace {

constexpr std::string_view kFirstLine = "muster products 1";
constexpr std::array<std::string_view, 4> kEpilogues = {"none", "bias", "bias+gelu",
                                                        "gelu-backward"};
constexpr std::size_t kShapeWords = 11;

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const std::size_t space = line.find(' ');
    if (space != 0) words.push_back(line.substr(0, space));
    line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
  }
  return words;
}

bool Number(std::string_view word, std::int64_t most, std::int64_t& to) {
  const auto read = std::from_chars(word.data(), word.data() + word.size(), to);
  return read.ec == std::errc() && read.ptr == word.data() + word.size() && to >= 0 && to <= most;
}

bool OneOf(std::string_view word, std::string_view no, std::string_view yes, bool& to) {
  to = word == yes;
  return to || word == no;
}

// Empty, or which word is wrong and what is allowed there.
std::string ReadShape(const std::vector<std::string_view>& words, ProductShape& s) {
  std::int64_t* const numbers[] = {&s.m, &s.n, &s.k};
  std::int64_t* const strides[] = {&s.a_stride, &s.b_stride, &s.c_stride};
  const auto wrong = [&words](std::size_t at, const char* allowed) {
    return std::string(words[at]) + " is not allowed: " + allowed;
  };
  constexpr const char* kWhole = "a whole number from 1";
  for (std::size_t i = 0; i < 3; ++i) {
    if (!Number(words[i + 1], INT64_MAX, *numbers[i]) || *numbers[i] < 1)
      return wrong(i + 1, kWhole);
  }
  if (!OneOf(words[4], "n", "t", s.a_transposed)) return wrong(4, "n or t");
  if (!OneOf(words[6], "n", "t", s.b_transposed)) return wrong(6, "n or t");
  for (std::size_t i = 0; i < 3; ++i) {
    const std::size_t at = 5 + 2 * i;
    if (!Number(words[at], INT64_MAX, *strides[i]) || *strides[i] < 1) return wrong(at, kWhole);
  }
  s.accumulate = words[8] == "float+";
  if (!s.accumulate && !OneOf(words[8], "bf16", "float", s.is_float)) {
    return wrong(8, "bf16, float or float+");
  }
  s.is_float = s.is_float || s.accumulate;
  for (std::size_t i = 0; i < kEpilogues.size(); ++i) {
    if (words[10] != kEpilogues[i]) continue;
    s.epilogue = static_cast<Epilogue>(i);
    return "";
  }
  return wrong(10, "none, bias, bias+gelu or gelu-backward");
}

std::string ReadChoice(const std::vector<std::string_view>& words, ProductTable& table) {
  constexpr std::size_t kWords = kShapeWords + 1 + AlgorithmNumbers::kCount;
  if (words.size() != kWords || words[kShapeWords] != "=") {
    return "a product has 10 words, then = and 9 numbers";
  }
  ProductChoice choice;
  const std::string wrong = ReadShape(words, choice.shape);
  if (!wrong.empty()) return wrong;
  for (std::size_t i = 0; i < AlgorithmNumbers::kCount; ++i) {
    const std::string_view word = words[kShapeWords + 1 + i];
    // The last two are of 16 bits.
    const std::int64_t most = i < 7 ? INT32_MAX : UINT16_MAX;
    std::int64_t value = 0;
    if (!Number(word, most, value)) {
      return std::string(word) + " is not allowed: a whole number from 0 to " +
             std::to_string(most);
    }
    choice.algorithm.at[i] = static_cast<std::uint32_t>(value);
  }
  if (table.Find(choice.shape) != nullptr) return "the product is there twice";
  table.choices.push_back(choice);
  return "";
}

// Everything but the first line and the name of the GPU.
std::string ReadLine(std::string_view line, ProductTable& table) {
  const std::vector<std::string_view> words = Words(line);
  if (words.empty() || words[0].front() == '#') return "";
  if (words[0] == "product") return ReadChoice(words, table);
  struct Setting {
    std::string_view name;
    std::int64_t& to;
  };
  for (const Setting& setting :
       {Setting{"multiprocessors", table.multiprocessors}, Setting{"cublaslt", table.cublaslt},
        Setting{"workspace", table.workspace}}) {
    if (words[0] != setting.name) continue;
    if (words.size() == 2 && Number(words[1], INT64_MAX, setting.to)) return "";
    return std::string(setting.name) + " needs one whole number";
  }
  return std::string(words[0]) +
         " is not allowed: gpu, multiprocessors, cublaslt, workspace or product";
}

}  // namespace

bool Same(const ProductShape& x, const ProductShape& y) {
  return x.m == y.m && x.n == y.n && x.k == y.k && x.a_stride == y.a_stride &&
         x.b_stride == y.b_stride && x.c_stride == y.c_stride && x.a_transposed == y.a_transposed &&
         x.b_transposed == y.b_transposed && x.is_float == y.is_float &&
         x.accumulate == y.accumulate && x.epilogue == y.epilogue;
}

ProductShape ShapeOf(const Product& p) {
  ProductShape shape;
  shape.m = p.m;
  shape.n = p.n;
  shape.k = p.k;
  shape.a_stride = p.a.stride;
  shape.b_stride = p.b.stride;
  shape.c_stride = p.stride;
  shape.a_transposed = p.a.transposed;
  shape.b_transposed = p.b.transposed;
  shape.is_float = p.c_float != nullptr;
  shape.accumulate = p.accumulate;
  shape.epilogue = p.epilogue;
  return shape;
}

bool Same(const AlgorithmNumbers& x, const AlgorithmNumbers& y) {
  for (int i = 0; i < AlgorithmNumbers::kCount; ++i) {
    if (x.at[i] != y.at[i]) return false;
  }
  return true;
}

const AlgorithmNumbers* ProductTable::Find(const ProductShape& shape) const {
  for (const ProductChoice& choice : choices) {
    if (Same(choice.shape, shape)) return &choice.algorithm;
  }
  return nullptr;
}

std::string ToText(const ProductTable& table) {
  std::string text =
      std::string(kFirstLine) + "\ngpu " + table.gpu + "\nmultiprocessors " +
      std::to_string(table.multiprocessors) + "\ncublaslt " + std::to_string(table.cublaslt) +
      "\nworkspace " + std::to_string(table.workspace) +
      "\n# product m n k, a and its stride, b, c, epilogue = id tile split-k reduction "
      "swizzle custom stages inner cluster\n";
  for (const ProductChoice& choice : table.choices) {
    const ProductShape& s = choice.shape;
    text += "product " + std::to_string(s.m) + " " + std::to_string(s.n) + " " +
            std::to_string(s.k) + (s.a_transposed ? " t " : " n ") + std::to_string(s.a_stride) +
            (s.b_transposed ? " t " : " n ") + std::to_string(s.b_stride) +
            (s.accumulate ? " float+ "
             : s.is_float ? " float "
                          : " bf16 ") +
            std::to_string(s.c_stride) + " " +
            std::string(kEpilogues[static_cast<std::size_t>(s.epilogue)]) + " =";
    for (const std::uint32_t number : choice.algorithm.at) text += " " + std::to_string(number);
    text += "\n";
  }
  return text;
}

bool ParseProductTable(std::string_view text, ProductTable& table, std::string& wrong) {
  table = {};
  for (int number = 1; !text.empty() || number == 1; ++number) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    constexpr std::string_view kGpu = "gpu ";
    std::string found;
    if (number == 1) {
      if (line != kFirstLine) found = "it is not \"" + std::string(kFirstLine) + "\"";
    } else if (line.substr(0, kGpu.size()) == kGpu) {
      table.gpu = std::string(line.substr(kGpu.size()));
    } else {
      found = ReadLine(line, table);
    }
    if (found.empty()) continue;
    wrong = "line " + std::to_string(number) + ": " + found;
    return false;
  }
  return true;
}

std::string WhyNotHere(const ProductTable& table, const ProductTable& here) {
  const auto text = [](const ProductTable& t) {
    return "\"" + t.gpu + "\" of " + std::to_string(t.multiprocessors) +
           " multiprocessors, cuBLASLt " + std::to_string(t.cublaslt) + " and a workspace of " +
           std::to_string(t.workspace) + " bytes";
  };
  return text(table) == text(here) ? "" : "it is for " + text(table) + "; here are " + text(here);
}

}  // namespace muster::cuda

#include "worker/checkpoint/pretrained.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "operator/base/sha256.h"
#include "worker/checkpoint/safetensors_file.h"

namespace muster::checkpoint {
namespace {

constexpr std::int64_t kChunkFloats = 1 << 18;
constexpr std::string_view kPrefix = "transformer.";
constexpr char kHead[] = "lm_head.weight";
constexpr char kEmbedding[] = "wte.weight";

enum class Element { kF32, kF16, kBf16 };
std::int64_t BytesOf(Element element) { return element == Element::kF32 ? 4 : 2; }

struct Stored {
  Element element = Element::kF32;
  std::vector<std::int64_t> shape;
  std::int64_t begin = 0;  // byte of the file
  std::int64_t size = 0;   // elements
};

// IEEE 754 binary16; every value of it is a float.
float FromHalf(std::uint16_t half) {
  const int exponent = half >> 10 & 0x1f;
  const int fraction = half & 0x3ff;
  const float sign = (half & 0x8000) != 0 ? -1.0f : 1.0f;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  if (exponent < 0x1f)
    return sign * std::ldexp(static_cast<float>(fraction | 0x400), exponent - 25);
  return fraction == 0 ? sign * INFINITY : NAN;
}

float FromBfloat16(std::uint16_t upper) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(upper) << 16);
}

bool IsMask(std::string_view name) {
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
}

class PretrainedFile {
 public:
  explicit PretrainedFile(std::unique_ptr<SafetensorsFile> file) : file_(std::move(file)) {}
  absl::Status TakeTensors();
  absl::StatusOr<std::string> Read(const model::Layout& layout, std::span<float> weights,
                                   std::atomic<std::uint64_t>* progress);

 private:
  using Take = std::function<absl::Status(std::int64_t first, std::span<const float> values)>;

  absl::StatusOr<Stored> Find(const model::Tensor& tensor) const;
  absl::Status RefuseOthers(const model::Layout& layout) const;
  absl::Status CheckHead(const model::Layout& layout, std::span<const float> weights) const;
  // The floats from `first` on.
  absl::Status Load(const Stored& stored, std::int64_t first, std::span<float> out) const;
  // All of it, piece by piece.
  absl::Status LoadTensor(const model::Tensor& tensor, const Take& take) const;
  absl::Status Wrong(const std::string& sentence) const {
    return base::InvalidArgument(file_->path() + ": " + sentence);
  }

  const std::unique_ptr<SafetensorsFile> file_;
  std::map<std::string, Stored> tensors_;  // by name without the prefix
};

absl::Status PretrainedFile::TakeTensors() {
  static const std::map<std::string, Element> kElements = {
      {"F32", Element::kF32}, {"F16", Element::kF16}, {"BF16", Element::kBf16}};
  for (const StoredTensor& tensor : file_->tensors()) {
    const std::string& name = tensor.name;
    const std::string bare = name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
    if (IsMask(bare)) continue;
    const auto element = kElements.find(tensor.dtype);
    if (element == kElements.end()) {
      return Wrong(name + " has elements of type " + tensor.dtype +
                   "; F32, F16 and BF16 can be read");
    }
    if (!tensors_
             .emplace(bare, Stored{element->second, tensor.shape, tensor.begin, tensor.elements})
             .second) {
      return Wrong(bare + " is there twice, with and without the prefix " + std::string(kPrefix));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Stored> PretrainedFile::Find(const model::Tensor& tensor) const {
  const auto found = tensors_.find(tensor.name);
  if (found == tensors_.end()) {
    return Wrong("there is no tensor " + tensor.name + " of shape " + ShapeText(tensor.shape));
  }
  if (found->second.shape != tensor.shape) {
    return Wrong(tensor.name + " has shape " + ShapeText(found->second.shape) +
                 "; program.config asks for " + ShapeText(tensor.shape));
  }
  return found->second;
}

absl::Status PretrainedFile::Load(const Stored& stored, std::int64_t first,
                                  std::span<float> out) const {
  const std::int64_t width = BytesOf(stored.element);
  const std::int64_t offset = stored.begin + first * width;
  if (stored.element == Element::kF32) return file_->ReadAt(offset, std::as_writable_bytes(out));
  std::vector<std::uint16_t> halves(out.size());
  MUSTER_RETURN_IF_ERROR(file_->ReadAt(offset, std::as_writable_bytes(std::span(halves))));
  const auto convert = stored.element == Element::kF16 ? FromHalf : FromBfloat16;
  std::transform(halves.begin(), halves.end(), out.begin(), convert);
  return absl::OkStatus();
}

absl::Status PretrainedFile::LoadTensor(const model::Tensor& tensor, const Take& take) const {
  MUSTER_ASSIGN_OR_RETURN(const Stored stored, Find(tensor));
  std::vector<float> chunk(static_cast<std::size_t>(std::min(kChunkFloats, stored.size)));
  for (std::int64_t first = 0; first < stored.size; first += kChunkFloats) {
    const auto count = static_cast<std::size_t>(std::min(kChunkFloats, stored.size - first));
    const std::span<float> values = std::span(chunk).first(count);
    MUSTER_RETURN_IF_ERROR(Load(stored, first, values));
    const auto odd =
        std::find_if_not(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
    if (odd != values.end()) {
      return Wrong("element " + std::to_string(first + (odd - values.begin())) + " of " +
                   tensor.name + " is not finite");
    }
    MUSTER_RETURN_IF_ERROR(take(first, values));
  }
  return absl::OkStatus();
}

absl::Status PretrainedFile::RefuseOthers(const model::Layout& layout) const {
  for (const auto& [name, stored] : tensors_) {
    const bool known =
        std::any_of(layout.tensors.begin(), layout.tensors.end(),
                    [&](const model::Tensor& tensor) { return tensor.name == name; });
    if (!known && name != kHead) {
      return Wrong("the model has no tensor " + name + " (its shape is " + ShapeText(stored.shape) +
                   ")");
    }
  }
  return absl::OkStatus();
}

// The output head is the embedding: a file may hold it a second time, but no other one.
absl::Status PretrainedFile::CheckHead(const model::Layout& layout,
                                       std::span<const float> weights) const {
  if (!tensors_.contains(kHead)) return absl::OkStatus();
  const auto embedding =
      std::find_if(layout.tensors.begin(), layout.tensors.end(),
                   [](const model::Tensor& tensor) { return tensor.name == kEmbedding; });
  if (embedding == layout.tensors.end()) return Wrong("the model has no tensor lm_head.weight");
  model::Tensor expected = *embedding;
  expected.name = kHead;
  return LoadTensor(expected, [&](std::int64_t first, std::span<const float> values) {
    const auto tied = weights.begin() + expected.offset + first;
    if (std::equal(values.begin(), values.end(), tied)) return absl::OkStatus();
    return Wrong("lm_head.weight differs from wte.weight; the model here has one tensor for both");
  });
}

absl::StatusOr<std::string> PretrainedFile::Read(const model::Layout& layout,
                                                 std::span<float> weights,
                                                 std::atomic<std::uint64_t>* progress) {
  MUSTER_RETURN_IF_ERROR(RefuseOthers(layout));
  base::Sha256 hash;
  for (const model::Tensor& tensor : layout.tensors) {
    MUSTER_RETURN_IF_ERROR(
        LoadTensor(tensor, [&](std::int64_t first, std::span<const float> values) {
          std::copy(values.begin(), values.end(), weights.begin() + tensor.offset + first);
          hash.Update(std::as_bytes(values));
          if (progress != nullptr) *progress += values.size();
          return absl::OkStatus();
        }));
  }
  MUSTER_RETURN_IF_ERROR(CheckHead(layout, weights));
  return hash.FinishHex();
}

}  // namespace

absl::StatusOr<std::string> ReadPretrained(const std::string& file, const model::Layout& layout,
                                           std::span<float> weights,
                                           std::atomic<std::uint64_t>* progress) {
  MUSTER_ASSIGN_OR_RETURN(std::unique_ptr<SafetensorsFile> opened, SafetensorsFile::Open(file));
  PretrainedFile pretrained(std::move(opened));
  MUSTER_RETURN_IF_ERROR(pretrained.TakeTensors());
  return pretrained.Read(layout, weights, progress);
}

}  // namespace muster::checkpoint

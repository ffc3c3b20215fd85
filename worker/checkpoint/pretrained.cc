#include "worker/checkpoint/pretrained.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "worker/checkpoint/safetensors.h"

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

std::string ShapeText(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + "]";
}

bool IsMask(std::string_view name) {
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
}

class PretrainedFile {
 public:
  static absl::StatusOr<std::unique_ptr<PretrainedFile>> Open(const std::string& path);
  ~PretrainedFile() { ::close(fd_); }
  PretrainedFile(const PretrainedFile&) = delete;
  PretrainedFile& operator=(const PretrainedFile&) = delete;

  absl::Status Read(const model::Layout& layout, std::span<float> weights);

 private:
  using Take = std::function<absl::Status(std::int64_t first, std::span<const float> values)>;
  PretrainedFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  absl::Status ReadHeader();
  absl::Status TakeEntry(const std::string& name, const nlohmann::json& entry);
  absl::Status ReadAt(std::int64_t offset, std::span<std::byte> out) const;
  absl::StatusOr<Stored> Find(const model::Tensor& tensor) const;
  absl::Status RefuseOthers(const model::Layout& layout) const;
  absl::Status CheckHead(const model::Layout& layout, std::span<const float> weights) const;
  // The floats from `first` on.
  absl::Status Load(const Stored& stored, std::int64_t first, std::span<float> out) const;
  // All of it, piece by piece.
  absl::Status LoadTensor(const model::Tensor& tensor, const Take& take) const;
  absl::Status Wrong(const std::string& sentence) const {
    return base::InvalidArgument(path_ + ": " + sentence);
  }
  absl::Status Broken(const std::string& sentence) const {
    return base::DataLoss(path_ + " is no safetensors file, or is cut short: " + sentence);
  }

  const std::string path_;
  const int fd_;
  std::int64_t bytes_ = 0;                 // of the file
  std::int64_t data_at_ = 0;               // where the tensors begin
  std::map<std::string, Stored> tensors_;  // by name without the prefix
};

absl::StatusOr<std::unique_ptr<PretrainedFile>> PretrainedFile::Open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const std::string sentence = "cannot read " + path + ": " + base::ErrnoText(errno);
    return errno == ENOENT ? base::NotFound(sentence) : base::Unavailable(sentence);
  }
  std::unique_ptr<PretrainedFile> file(new PretrainedFile(path, fd));
  MUSTER_RETURN_IF_ERROR(file->ReadHeader());
  return file;
}

absl::Status PretrainedFile::ReadAt(std::int64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got = ::pread(fd_, out.data(), out.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::Unavailable("cannot read " + path_ + ": " + base::ErrnoText(errno));
    if (got == 0) return Broken("it ends at byte " + std::to_string(offset));
    offset += got;
    out = out.subspan(static_cast<std::size_t>(got));
  }
  return absl::OkStatus();
}

absl::Status PretrainedFile::ReadHeader() {
  struct stat info{};
  if (::fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) return Broken("not a regular file");
  bytes_ = info.st_size;
  std::uint64_t length = 0;
  MUSTER_RETURN_IF_ERROR(ReadAt(0, std::as_writable_bytes(std::span(&length, 1))));
  data_at_ = static_cast<std::int64_t>(sizeof(length));
  if (length > std::min(kMostHeaderBytes, static_cast<std::uint64_t>(bytes_ - data_at_))) {
    return Broken("its header claims " + std::to_string(length) + " bytes, the file has " +
                  std::to_string(bytes_));
  }
  std::string text(length, '\0');
  MUSTER_RETURN_IF_ERROR(ReadAt(data_at_, std::as_writable_bytes(std::span(text))));
  data_at_ += static_cast<std::int64_t>(length);
  const nlohmann::json header = nlohmann::json::parse(text, nullptr, false);
  if (!header.is_object()) return Broken("its header is no JSON object");
  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") MUSTER_RETURN_IF_ERROR(TakeEntry(name, entry));
  }
  return absl::OkStatus();
}

absl::Status PretrainedFile::TakeEntry(const std::string& name, const nlohmann::json& entry) {
  const std::string bare = name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
  if (IsMask(bare)) return absl::OkStatus();
  Stored stored;
  std::array<std::int64_t, 2> offsets{};
  std::string dtype;
  try {
    dtype = entry.at("dtype").get<std::string>();
    stored.shape = entry.at("shape").get<std::vector<std::int64_t>>();
    offsets = entry.at("data_offsets").get<std::array<std::int64_t, 2>>();
  } catch (const nlohmann::json::exception&) {
    return Broken("the header's entry " + name + " has no dtype, shape and data_offsets");
  }
  static const std::map<std::string, Element> kElements = {
      {"F32", Element::kF32}, {"F16", Element::kF16}, {"BF16", Element::kBf16}};
  const auto element = kElements.find(dtype);
  if (element == kElements.end()) {
    return Wrong(name + " has elements of type " + dtype + "; F32, F16 and BF16 can be read");
  }
  stored.element = element->second;
  stored.size = 1;
  std::int64_t size_bytes = 0;
  bool fits = true;
  for (const std::int64_t extent : stored.shape) {
    fits = fits && extent >= 0 && !__builtin_mul_overflow(stored.size, extent, &stored.size);
  }
  fits = fits && !__builtin_mul_overflow(stored.size, BytesOf(stored.element), &size_bytes);
  if (!fits || offsets[0] < 0 || offsets[1] < offsets[0] || offsets[1] > bytes_ - data_at_ ||
      offsets[1] - offsets[0] != size_bytes) {
    return Broken("the bytes that the header gives for " + name + " are not those of its shape " +
                  ShapeText(stored.shape) + ", or are not there");
  }
  stored.begin = data_at_ + offsets[0];
  if (!tensors_.emplace(bare, std::move(stored)).second) {
    return Wrong(bare + " is there twice, with and without the prefix " + std::string(kPrefix));
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
  if (stored.element == Element::kF32) return ReadAt(offset, std::as_writable_bytes(out));
  std::vector<std::uint16_t> halves(out.size());
  MUSTER_RETURN_IF_ERROR(ReadAt(offset, std::as_writable_bytes(std::span(halves))));
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

absl::Status PretrainedFile::Read(const model::Layout& layout, std::span<float> weights) {
  MUSTER_RETURN_IF_ERROR(RefuseOthers(layout));
  for (const model::Tensor& tensor : layout.tensors) {
    MUSTER_RETURN_IF_ERROR(
        LoadTensor(tensor, [&](std::int64_t first, std::span<const float> values) {
          std::copy(values.begin(), values.end(), weights.begin() + tensor.offset + first);
          return absl::OkStatus();
        }));
  }
  return CheckHead(layout, weights);
}

}  // namespace

absl::Status ReadPretrained(const std::string& path, const model::Layout& layout,
                            std::span<float> weights) {
  MUSTER_ASSIGN_OR_RETURN(const std::unique_ptr<PretrainedFile> file, PretrainedFile::Open(path));
  return file->Read(layout, weights);
}

}  // namespace muster::checkpoint

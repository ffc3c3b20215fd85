// Believes nothing of the header before it has been checked against the file's length.
#include "worker/checkpoint/safetensors_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>

namespace muster::checkpoint {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors is little-endian");

// Of the element types that the format has; nothing for one that came later.
std::optional<std::int64_t> ElementBytes(const std::string& dtype) {
  static const std::map<std::string, std::int64_t> kBytes = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
      {"U16", 2},  {"I16", 2}, {"F16", 2}, {"BF16", 2},    {"U32", 4},
      {"I32", 4},  {"F32", 4}, {"U64", 8}, {"I64", 8},     {"F64", 8}};
  const auto found = kBytes.find(dtype);
  return found == kBytes.end() ? std::nullopt : std::optional(found->second);
}

// False where the product is more than 64 bits hold, or an extent is negative.
bool CountElements(const std::vector<std::int64_t>& shape, std::int64_t& elements) {
  elements = 1;
  return std::all_of(shape.begin(), shape.end(), [&elements](std::int64_t extent) {
    return extent >= 0 && !__builtin_mul_overflow(elements, extent, &elements);
  });
}

bool FitsItsShape(const StoredTensor& tensor) {
  const std::optional<std::int64_t> width = ElementBytes(tensor.dtype);
  std::int64_t bytes = 0;
  return !width || (!__builtin_mul_overflow(tensor.elements, *width, &bytes) &&
                    tensor.end - tensor.begin == bytes);
}

}  // namespace

std::string ShapeText(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + "]";
}

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const std::string sentence = "cannot read " + path + ": " + base::ErrnoText(errno);
    return errno == ENOENT ? base::NotFound(sentence) : base::Unavailable(sentence);
  }
  std::unique_ptr<SafetensorsFile> file(new SafetensorsFile(path, fd));
  MUSTER_RETURN_IF_ERROR(file->ReadHeader());
  return file;
}

SafetensorsFile::~SafetensorsFile() { ::close(fd_); }

absl::Status SafetensorsFile::ReadAt(std::int64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got = ::pread(fd_, out.data(), out.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::Unavailable("cannot read " + path_ + ": " + base::ErrnoText(errno));
    if (got == 0) {
      return Truncated("it ends at byte " + std::to_string(offset) + ", " +
                       std::to_string(out.size()) + " bytes before what is read from it");
    }
    offset += got;
    out = out.subspan(static_cast<std::size_t>(got));
  }
  return absl::OkStatus();
}

absl::Status SafetensorsFile::ReadHeader() {
  struct stat info{};
  if (::fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
    return base::DataLoss(path_ + " is not a regular file");
  }
  bytes_ = info.st_size;
  std::uint64_t length = 0;
  MUSTER_RETURN_IF_ERROR(ReadAt(0, std::as_writable_bytes(std::span(&length, 1))));
  const auto available = static_cast<std::uint64_t>(bytes_) - sizeof(length);
  if (length > std::min(kMostHeaderBytes, available)) {
    return base::DataLoss(path_ + " is truncated or altered, or no safetensors file: its header " +
                          "claims " + std::to_string(length) + " bytes, the file has " +
                          std::to_string(bytes_));
  }
  head_.resize(sizeof(length) + length);
  MUSTER_RETURN_IF_ERROR(ReadAt(0, std::as_writable_bytes(std::span(head_))));
  return ParseHeader(head_.substr(sizeof(length)));
}

absl::Status SafetensorsFile::ParseHeader(const std::string& json) {
  // In the file's own order, which tells tensors without elements apart.
  const auto header = nlohmann::ordered_json::parse(json, nullptr, false);
  if (!header.is_object()) return Altered("its header is no JSON object");
  const auto data_at = static_cast<std::int64_t>(head_.size());
  std::int64_t most = 0;  // bytes of tensors that the header promises
  for (const auto& [name, entry] : header.items()) {
    StoredTensor tensor;
    tensor.name = name;
    std::array<std::int64_t, 2> offsets{};
    try {
      if (name == "__metadata__") {
        metadata_ = entry.get<std::map<std::string, std::string>>();
        continue;
      }
      tensor.dtype = entry.at("dtype").get<std::string>();
      tensor.shape = entry.at("shape").get<std::vector<std::int64_t>>();
      offsets = entry.at("data_offsets").get<std::array<std::int64_t, 2>>();
    } catch (const nlohmann::json::exception&) {
      return Altered("the header's entry " + name +
                     (name == "__metadata__" ? " is no map from text to text"
                                             : " has no dtype, shape and data_offsets"));
    }
    const bool in_order = 0 <= offsets[0] && offsets[0] <= offsets[1];
    tensor.begin = offsets[0];
    tensor.end = offsets[1];
    if (!CountElements(tensor.shape, tensor.elements) || !in_order || !FitsItsShape(tensor)) {
      return Altered("the bytes that the header gives for " + name + " are not those of a " +
                     tensor.dtype + " of shape " + ShapeText(tensor.shape));
    }
    most = std::max(most, tensor.end);
    tensors_.push_back(std::move(tensor));
  }
  if (most > bytes_ - data_at) {
    return Truncated("it has " + std::to_string(bytes_ - data_at) +
                     " bytes of tensors, its header promises " + std::to_string(most));
  }
  for (StoredTensor& tensor : tensors_) {
    tensor.begin += data_at;
    tensor.end += data_at;
  }
  std::stable_sort(tensors_.begin(), tensors_.end(),
                   [](const StoredTensor& a, const StoredTensor& b) { return a.begin < b.begin; });
  return absl::OkStatus();
}

}  // namespace muster::checkpoint

// Header in and out as JSON; the tensors stream past the hash.
#include "worker/checkpoint/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "operator/base/check.h"

namespace muster::checkpoint {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors is little-endian");

// Keys keep the order of the tensors' bytes, so that the file is a function of its content alone.
using OrderedJson = nlohmann::ordered_json;

// A bound that no disk holds, so that sums of byte offsets cannot overflow.
constexpr std::int64_t kMostElements = std::int64_t{1} << 56;

std::string HeaderText(const std::vector<FloatTensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  OrderedJson header = OrderedJson::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::int64_t offset = 0;
  for (const FloatTensor& tensor : tensors) {
    const std::int64_t end = offset + tensor.elements() * 4;
    header[tensor.name] = {
        {"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that tensors begin at a multiple of eight
  return text;
}

}  // namespace

std::int64_t FloatTensor::elements() const {
  std::int64_t product = 1;
  for (std::int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(product, extent, &product)) return -1;
  }
  return product <= kMostElements ? product : -1;
}

absl::StatusOr<std::unique_ptr<SafetensorsWriter>> SafetensorsWriter::Create(
    const std::string& path, const std::vector<FloatTensor>& tensors,
    const std::map<std::string, std::string>& metadata) {
  MUSTER_ASSIGN_OR_RETURN(std::unique_ptr<DurableFile> file, DurableFile::Create(path));
  const std::string header = HeaderText(tensors, metadata);
  const std::uint64_t length = header.size();
  MUSTER_RETURN_IF_ERROR(file->Write(std::as_bytes(std::span(&length, 1))));
  MUSTER_RETURN_IF_ERROR(file->Write(std::as_bytes(std::span(header))));
  std::int64_t elements = 0;
  for (const FloatTensor& tensor : tensors) elements += tensor.elements();
  return std::unique_ptr<SafetensorsWriter>(new SafetensorsWriter(std::move(file), elements));
}

absl::Status SafetensorsWriter::Append(std::span<const float> values) {
  missing_ -= static_cast<std::int64_t>(values.size());
  MUSTER_CHECK(missing_ >= 0, "more elements than the tensors have");
  return file_->Write(std::as_bytes(values));
}

absl::StatusOr<FileDigest> SafetensorsWriter::Finish() {
  if (missing_ != 0) {
    return base::FailedPrecondition(std::to_string(missing_) + " elements were never written");
  }
  return file_->Commit();
}

absl::StatusOr<std::unique_ptr<SafetensorsReader>> SafetensorsReader::Open(
    const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const std::string sentence = "cannot read " + path + ": " + base::ErrnoText(errno);
    return errno == ENOENT ? base::NotFound(sentence) : base::Unavailable(sentence);
  }
  std::unique_ptr<SafetensorsReader> reader(new SafetensorsReader(path, fd));
  MUSTER_RETURN_IF_ERROR(reader->ReadHeader());
  return reader;
}

SafetensorsReader::~SafetensorsReader() { ::close(fd_); }

absl::Status SafetensorsReader::ReadBytes(std::span<std::byte> out) {
  const std::span<std::byte> whole = out;
  while (!out.empty()) {
    const ssize_t got = ::read(fd_, out.data(), out.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::Unavailable("cannot read " + path_ + ": " + base::ErrnoText(errno));
    if (got == 0) {
      return base::DataLoss(path_ + " is truncated: it ends " + std::to_string(out.size()) +
                            " bytes before what its header promises");
    }
    out = out.subspan(static_cast<std::size_t>(got));
  }
  hash_.Update(whole);
  return absl::OkStatus();
}

absl::Status SafetensorsReader::ReadHeader() {
  struct stat info{};
  if (::fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
    return base::DataLoss(path_ + " is not a regular file");
  }
  bytes_ = info.st_size;
  std::uint64_t length = 0;
  MUSTER_RETURN_IF_ERROR(ReadBytes(std::as_writable_bytes(std::span(&length, 1))));
  const auto available = static_cast<std::uint64_t>(bytes_) - sizeof(length);
  if (length > std::min(kMostHeaderBytes, available)) {
    return base::DataLoss(path_ + " is truncated or altered: its header claims " +
                          std::to_string(length) + " bytes, the file has " +
                          std::to_string(bytes_));
  }
  std::string text(length, '\0');
  MUSTER_RETURN_IF_ERROR(ReadBytes(std::as_writable_bytes(std::span(text))));
  MUSTER_RETURN_IF_ERROR(ParseHeader(text));
  const std::int64_t promised = static_cast<std::int64_t>(sizeof(length) + length) + 4 * missing_;
  if (bytes_ != promised) {
    return base::DataLoss(path_ + (bytes_ < promised ? " is truncated" : " is altered") +
                          ": it has " + std::to_string(bytes_) + " bytes, its header promises " +
                          std::to_string(promised));
  }
  return absl::OkStatus();
}

absl::Status SafetensorsReader::ParseHeader(const std::string& json) {
  const absl::Status altered = base::DataLoss(
      path_ + " is altered: its header is not that of F32 tensors that follow each other");
  std::vector<std::pair<std::int64_t, FloatTensor>> found;
  try {
    const OrderedJson header = OrderedJson::parse(json);
    for (const auto& [name, value] : header.items()) {
      if (name == "__metadata__") {
        metadata_ = value.get<std::map<std::string, std::string>>();
        continue;
      }
      FloatTensor tensor{name, value.at("shape").get<std::vector<std::int64_t>>()};
      const auto offsets = value.at("data_offsets").get<std::array<std::int64_t, 2>>();
      const std::int64_t elements = tensor.elements();
      if (value.at("dtype") != "F32" || elements < 0 || offsets[0] < 0 || offsets[1] < offsets[0] ||
          offsets[1] - offsets[0] != 4 * elements) {
        return altered;
      }
      found.emplace_back(offsets[0], std::move(tensor));
    }
  } catch (const OrderedJson::exception&) {
    return altered;
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  std::int64_t offset = 0;
  for (auto& [begin, tensor] : found) {
    if (begin != offset) return altered;  // a hole or an overlap
    offset += 4 * tensor.elements();
    tensors_.push_back(std::move(tensor));
  }
  missing_ = offset / 4;
  return absl::OkStatus();
}

absl::Status SafetensorsReader::Read(std::span<float> out) {
  missing_ -= static_cast<std::int64_t>(out.size());
  MUSTER_CHECK(missing_ >= 0, "more elements are read than the tensors have");
  return ReadBytes(std::as_writable_bytes(out));
}

absl::StatusOr<std::string> SafetensorsReader::FinishSha256() {
  if (missing_ != 0) {
    return base::FailedPrecondition(std::to_string(missing_) + " elements were not read");
  }
  return hash_.FinishHex();
}

}  // namespace muster::checkpoint

// The tensors stream past the hash, in and out.
#include "worker/checkpoint/safetensors.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "operator/base/check.h"

namespace muster::checkpoint {
namespace {

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
  MUSTER_ASSIGN_OR_RETURN(std::unique_ptr<SafetensorsFile> file, SafetensorsFile::Open(path));
  std::unique_ptr<SafetensorsReader> reader(new SafetensorsReader(std::move(file)));
  MUSTER_RETURN_IF_ERROR(reader->TakeTensors());
  return reader;
}

absl::Status SafetensorsReader::TakeTensors() {
  hash_.Update(file_->head());
  at_ = static_cast<std::int64_t>(file_->head().size());
  std::int64_t end = at_;
  for (const StoredTensor& tensor : file_->tensors()) {
    if (tensor.dtype != "F32" || tensor.begin != end) {
      return base::DataLoss(
          file_->path() +
          " is altered: its header is not that of F32 tensors that follow each other");
    }
    end = tensor.end;
    tensors_.push_back({tensor.name, tensor.shape});
  }
  if (end != bytes()) {
    return base::DataLoss(file_->path() + " is altered: it has " + std::to_string(bytes()) +
                          " bytes, its header promises " + std::to_string(end));
  }
  missing_ = (end - at_) / 4;
  return absl::OkStatus();
}

absl::Status SafetensorsReader::Read(std::span<float> out) {
  missing_ -= static_cast<std::int64_t>(out.size());
  MUSTER_CHECK(missing_ >= 0, "more elements are read than the tensors have");
  const std::span<std::byte> bytes = std::as_writable_bytes(out);
  MUSTER_RETURN_IF_ERROR(file_->ReadAt(at_, bytes));
  at_ += static_cast<std::int64_t>(bytes.size());
  hash_.Update(bytes);
  return absl::OkStatus();
}

absl::StatusOr<std::string> SafetensorsReader::FinishSha256() {
  if (missing_ != 0) {
    return base::FailedPrecondition(std::to_string(missing_) + " elements were not read");
  }
  return hash_.FinishHex();
}

}  // namespace muster::checkpoint

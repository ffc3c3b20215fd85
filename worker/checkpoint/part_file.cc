// A part as a safetensors file whose metadata says which slice it is.
#include "worker/checkpoint/part_file.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "worker/checkpoint/safetensors.h"

namespace muster::checkpoint {
namespace {

constexpr std::int64_t kBlockElements = std::int64_t{1} << 20;

struct NamedVector {
  StateVector vector;
  const char* name;
};
constexpr std::array<NamedVector, 3> kVectors = {{{StateVector::kWeights, "weights"},
                                                  {StateVector::kAdamM, "adam.m"},
                                                  {StateVector::kAdamV, "adam.v"}}};

std::vector<FloatTensor> PartTensors(std::int64_t elements) {
  std::vector<FloatTensor> tensors;
  for (const NamedVector& named : kVectors) tensors.push_back({named.name, {elements}});
  return tensors;
}

absl::StatusOr<std::unique_ptr<SafetensorsReader>> OpenPart(const std::string& path,
                                                            const PartInfo& part) {
  auto reader = SafetensorsReader::Open(path);
  if (!reader.ok()) {
    // A missing part is as lost as an altered one; what the disk cannot say stays Unavailable.
    return absl::IsNotFound(reader.status())
               ? base::DataLoss(path + " is missing; the manifest names it")
               : reader.status();
  }
  const std::int64_t bytes = (*reader)->bytes();
  if (bytes != part.bytes) {
    return base::DataLoss(path + (bytes < part.bytes ? " is truncated" : " is altered") +
                          ": it has " + std::to_string(bytes) + " bytes, the manifest says " +
                          std::to_string(part.bytes));
  }
  if ((*reader)->tensors() != PartTensors(part.end - part.begin)) {
    return base::DataLoss(path + " is altered: its tensors are not those of elements " +
                          std::to_string(part.begin) + " to " + std::to_string(part.end));
  }
  return reader;
}

}  // namespace

absl::StatusOr<PartInfo> WritePartFile(const std::string& folder, const PartContent& part) {
  const Slice slice = PartSlice(part.parameters, part.rank, part.size);
  const std::map<std::string, std::string> metadata = {
      {"begin", std::to_string(slice.begin)},
      {"end", std::to_string(slice.end)},
      {"parameters", std::to_string(part.parameters)},
      {"step", std::to_string(part.step.value)}};
  PartInfo info;
  info.file = PartFileName(part.rank, part.size);
  info.begin = slice.begin;
  info.end = slice.end;
  MUSTER_ASSIGN_OR_RETURN(
      const std::unique_ptr<SafetensorsWriter> writer,
      SafetensorsWriter::Create(folder + "/" + info.file, PartTensors(slice.end - slice.begin),
                                metadata));
  for (const std::span<const float> values : {part.weights, part.adam_m, part.adam_v}) {
    MUSTER_RETURN_IF_ERROR(writer->Append(values));
  }
  MUSTER_ASSIGN_OR_RETURN(const FileDigest file, writer->Finish());
  info.bytes = file.bytes;
  info.sha256 = file.sha256;
  return info;
}

absl::Status ReadPartFile(const std::string& folder, const PartInfo& part,
                          const TakeElements& take) {
  const std::string path = folder + "/" + part.file;
  MUSTER_ASSIGN_OR_RETURN(const std::unique_ptr<SafetensorsReader> reader, OpenPart(path, part));
  const std::int64_t elements = part.end - part.begin;
  std::vector<float> block(static_cast<std::size_t>(std::min(elements, kBlockElements)));
  for (const NamedVector& named : kVectors) {
    for (std::int64_t done = 0; done < elements; done += kBlockElements) {
      const std::span<float> values = std::span(block).first(
          static_cast<std::size_t>(std::min(kBlockElements, elements - done)));
      MUSTER_RETURN_IF_ERROR(reader->Read(values));
      MUSTER_RETURN_IF_ERROR(take(named.vector, part.begin + done, values));
    }
  }
  MUSTER_ASSIGN_OR_RETURN(const std::string sha256, reader->FinishSha256());
  if (sha256 != part.sha256) {
    return base::DataLoss(path + " is altered: its SHA-256 is " + sha256 + ", the manifest says " +
                          part.sha256);
  }
  return absl::OkStatus();
}

}  // namespace muster::checkpoint

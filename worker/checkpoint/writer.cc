// Parts and manifest; what they hold is decided in part_file.cc, manifest.cc and export.cc.
#include "worker/checkpoint/writer.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "operator/base/check.h"
#include "worker/checkpoint/durable_file.h"
#include "worker/checkpoint/export.h"
#include "worker/checkpoint/part_file.h"

namespace muster::checkpoint {
namespace {

absl::Status CheckOnDisk(const std::string& folder, const PartInfo& part) {
  const std::string path = folder + "/" + part.file;
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) {
    return base::DataLoss(path + " was reported as written: " + base::ErrnoText(errno) +
                          "; the checkpoint path must be one that all members share");
  }
  if (info.st_size != part.bytes) {
    return base::DataLoss(path + " has " + std::to_string(info.st_size) +
                          " bytes, its member wrote " + std::to_string(part.bytes));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> WritePart(const std::string& dir, const PartContent& part) {
  const Slice slice = PartSlice(part.parameters, part.rank, part.size);
  for (const std::span<const float> values : {part.weights, part.adam_m, part.adam_v}) {
    MUSTER_CHECK(static_cast<std::int64_t>(values.size()) == slice.end - slice.begin,
                 "a part holds exactly its slice of each vector");
  }
  const std::string folder = dir + "/" + FolderName(part.step, part.epoch);
  MUSTER_RETURN_IF_ERROR(MakeFolder(folder));
  MUSTER_ASSIGN_OR_RETURN(const PartInfo info, WritePartFile(folder, part));
  return PartInfoToJson(info);
}

absl::StatusOr<ManifestResult> WriteManifest(const std::string& dir, const ManifestHeader& header,
                                             const std::vector<std::string>& parts_json, bool final,
                                             const model::Layout& layout,
                                             const api::ProgramSpec& program) {
  const std::string folder = dir + "/" + FolderName(header.step, header.epoch);
  Manifest manifest;
  manifest.header = header;
  for (const model::Tensor& tensor : layout.tensors) {
    manifest.tensors.push_back({tensor.name, tensor.shape, tensor.offset});
  }
  for (const std::string& json : parts_json) {
    auto part = PartInfoFromJson(json);
    if (!part.ok()) return base::Annotate(part.status(), "the part '" + json + "'");
    MUSTER_RETURN_IF_ERROR(CheckOnDisk(folder, *part));
    manifest.parts.push_back(*std::move(part));
  }
  MUSTER_RETURN_IF_ERROR(CheckParts(manifest.parts, header.parameters));
  ManifestResult result;
  if (final) {
    MUSTER_ASSIGN_OR_RETURN(result.weights_digest, ExportModel(folder, manifest, layout, program));
  }
  MUSTER_ASSIGN_OR_RETURN(const FileDigest file,
                          WriteDurably(folder + "/manifest.json", ManifestToJson(manifest)));
  result.digest = file.sha256;
  return result;
}

}  // namespace muster::checkpoint

// Believes a manifest by its digest and the parts by the manifest.
#include "worker/checkpoint/reader.h"

#include <algorithm>
#include <utility>

#include "worker/checkpoint/durable_file.h"
#include "worker/checkpoint/part_file.h"

namespace muster::checkpoint {

absl::StatusOr<Manifest> LoadManifest(const std::string& dir, const api::CheckpointRef& ref) {
  const std::string path = dir + "/" + FolderName(ref.step, ref.epoch) + "/manifest.json";
  auto text = ReadSmallFile(path);
  if (!text.ok()) {
    return absl::IsNotFound(text.status())
               ? base::DataLoss(path + " is missing; the record names it")
               : text.status();
  }
  if (const std::string digest = base::Sha256Hex(*text); digest != ref.digest) {
    return base::DataLoss(path + " is truncated or altered: its SHA-256 is " + digest +
                          ", the record says " + ref.digest);
  }
  auto manifest = ManifestFromJson(*text);
  // The digest was right, so nobody altered it: another version of this program wrote it.
  if (!manifest.ok()) {
    return base::FailedPrecondition(
        path + " cannot be read by this build: " + base::Message(manifest.status()));
  }
  if (manifest->header.step != ref.step || manifest->header.epoch != ref.epoch) {
    return base::DataLoss(path + " is the manifest of another checkpoint: step " +
                          std::to_string(manifest->header.step.value) + ", epoch " +
                          std::to_string(manifest->header.epoch.value));
  }
  return manifest;
}

absl::StatusOr<ManifestHeader> LoadCheckpoint(const std::string& dir, const api::CheckpointRef& ref,
                                              const StateBuffers& out,
                                              std::atomic<std::uint64_t>* progress) {
  MUSTER_ASSIGN_OR_RETURN(Manifest manifest, LoadManifest(dir, ref));
  const std::string folder = dir + "/" + FolderName(ref.step, ref.epoch);
  for (const std::span<float> vector : {out.weights, out.adam_m, out.adam_v}) {
    if (static_cast<std::int64_t>(vector.size()) != manifest.header.parameters) {
      return base::FailedPrecondition(
          "the checkpoint in " + folder + " has " + std::to_string(manifest.header.parameters) +
          " parameters, the job's model has " + std::to_string(vector.size()) +
          "; resume with the program.config that wrote it or use another checkpoint path");
    }
  }
  const TakeElements take = [&out, progress](StateVector vector, std::int64_t begin,
                                             std::span<const float> values) {
    const std::span<float> target = vector == StateVector::kWeights ? out.weights
                                    : vector == StateVector::kAdamM ? out.adam_m
                                                                    : out.adam_v;
    std::copy(values.begin(), values.end(), target.begin() + begin);
    if (progress != nullptr) *progress += values.size();
    return absl::OkStatus();
  };
  for (const PartInfo& part : manifest.parts) {
    MUSTER_RETURN_IF_ERROR(ReadPartFile(folder, part, take));
  }
  return std::move(manifest.header);
}

}  // namespace muster::checkpoint

// latest.json and the deletions that follow the record.
#include "worker/checkpoint/publish.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "worker/checkpoint/durable_file.h"
#include "worker/checkpoint/manifest.h"

namespace muster::checkpoint {
namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const api::CheckpointRef& ref) {
  return {{"step", std::to_string(ref.step.value)},
          {"epoch", std::to_string(ref.epoch.value)},
          {"digest", ref.digest},
          {"timeUnixNanos", std::to_string(ref.time.time_since_epoch().count())},
          {"folder", FolderName(ref.step, ref.epoch)}};  // for people and scripts
}

template <typename T>
bool ReadNumber(const Json& object, const char* name, T& value) {
  const auto field = object.find(name);
  if (field == object.end() || !field->is_string()) return false;
  const std::string& text = field->get_ref<const std::string&>();
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end;
}

bool FromJson(const Json& object, api::CheckpointRef& ref) {
  if (!object.is_object() || !object.contains("digest") || !object["digest"].is_string())
    return false;
  std::int64_t nanos = 0;
  if (!ReadNumber(object, "step", ref.step.value) ||
      !ReadNumber(object, "epoch", ref.epoch.value) ||
      !ReadNumber(object, "timeUnixNanos", nanos)) {
    return false;
  }
  ref.digest = object["digest"].get<std::string>();
  ref.time = base::WallTime(base::Duration(nanos));
  return true;
}

bool ReadRefs(const Json& list, std::vector<api::CheckpointRef>& refs) {
  if (!list.is_array()) return false;
  for (const Json& object : list) {
    if (!FromJson(object, refs.emplace_back())) return false;
  }
  return true;
}

// The manifest goes first: a folder that a crash left half deleted can never be taken for a whole
// one.
absl::Status DeleteFolder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::remove(folder / "manifest.json", error);
  std::filesystem::remove_all(folder, error);
  // Another member may be deleting the same folder.
  if (error && error.value() != ENOENT) return WriteError("delete", folder.string(), error.value());
  return absl::OkStatus();
}

absl::Status DeleteOthers(const std::string& dir, base::Step committed,
                          const std::vector<FolderId>& kept) {
  std::error_code error;
  std::vector<std::filesystem::path> doomed;
  for (std::filesystem::directory_iterator entry(dir, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::optional<FolderId> id = ParseFolderName(entry->path().filename().string());
    if (!id || id->step > committed) continue;
    if (std::find(kept.begin(), kept.end(), *id) == kept.end()) doomed.push_back(entry->path());
  }
  if (error) return WriteError("list", dir, error.value());
  for (const std::filesystem::path& folder : doomed) MUSTER_RETURN_IF_ERROR(DeleteFolder(folder));
  return doomed.empty() ? absl::OkStatus() : SyncFolder(dir);
}

}  // namespace

absl::Status PublishCheckpoint(const std::string& dir, const api::CheckpointRef& checkpoint,
                               const std::vector<api::CheckpointRef>& kept) {
  Json latest = {{"formatVersion", std::to_string(kFormatVersion)},
                 {"checkpoint", ToJson(checkpoint)},
                 {"kept", Json::array()}};
  std::vector<FolderId> folders{{checkpoint.step, checkpoint.epoch}};
  for (const api::CheckpointRef& ref : kept) {
    latest["kept"].push_back(ToJson(ref));
    folders.push_back({ref.step, ref.epoch});
  }
  // Before any deletion, so that what latest.json names is always there.
  MUSTER_RETURN_IF_ERROR(WriteDurably(dir + "/latest.json", latest.dump(1) + "\n").status());
  return DeleteOthers(dir, checkpoint.step, folders);
}

absl::StatusOr<std::optional<Latest>> ReadLatest(const std::string& dir) {
  const std::string path = dir + "/latest.json";
  auto text = ReadSmallFile(path);
  if (absl::IsNotFound(text.status())) return std::optional<Latest>();
  if (!text.ok()) return text.status();
  const Json object = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  Latest latest;
  if (!object.is_object() || !object.contains("checkpoint") || !object.contains("kept") ||
      !FromJson(object["checkpoint"], latest.checkpoint) ||
      !ReadRefs(object["kept"], latest.kept)) {
    return base::DataLoss(path + " is truncated or altered: it names no checkpoint");
  }
  return std::optional<Latest>(std::move(latest));
}

}  // namespace muster::checkpoint

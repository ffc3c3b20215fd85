#include "operator/app/record_store.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "operator/api/record_json.h"
#include "operator/base/text.h"
#include "operator/local/durable.h"

namespace muster::app {
namespace {

namespace fs = std::filesystem;
using api::PersistOutcome;

constexpr std::string_view kTemporary = ".new";

std::optional<std::uint64_t> VersionOf(const fs::path& file) {
  if (file.extension() != ".json") return std::nullopt;
  const std::string stem = file.stem().string();
  std::uint64_t version = 0;
  auto [end, error] = std::from_chars(stem.data(), stem.data() + stem.size(), version);
  if (error != std::errc() || end != stem.data() + stem.size()) return std::nullopt;
  return version;
}

// Names in `directory`. One that cannot be listed is an error and never "empty": that would make an
// old job a new one.
absl::StatusOr<std::vector<fs::path>> List(const std::string& directory) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    files.push_back(at->path());
  }
  if (!error) return files;
  return base::Unavailable("cannot list the folder of the record, " + directory + ": " +
                           error.message());
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileRecordStore>> FileRecordStore::Open(std::string directory) {
  MUSTER_ASSIGN_OR_RETURN(const std::vector<fs::path> files, List(directory));
  for (const fs::path& file : files) {
    if (file.filename().string().find(kTemporary) != std::string::npos) unlink(file.c_str());
  }
  return std::unique_ptr<FileRecordStore>(new FileRecordStore(std::move(directory)));
}

std::string FileRecordStore::PathOf(std::uint64_t version) const {
  return directory_ + "/" + std::to_string(version) + ".json";
}

absl::StatusOr<std::optional<std::uint64_t>> FileRecordStore::Newest() const {
  MUSTER_ASSIGN_OR_RETURN(const std::vector<fs::path> files, List(directory_));
  std::optional<std::uint64_t> newest;
  for (const fs::path& file : files) newest = std::max(newest, VersionOf(file));
  return newest;
}

absl::StatusOr<std::optional<api::Record>> FileRecordStore::Read() {
  MUSTER_ASSIGN_OR_RETURN(const std::optional<std::uint64_t> newest, Newest());
  if (!newest) return std::optional<api::Record>();
  const std::string path = PathOf(*newest);
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.good() && !file.eof()) return base::Unavailable("cannot read " + path);
  auto record = api::ParseRecord(text);
  if (!record.ok()) return base::Annotate(record.status(), path);
  return std::optional<api::Record>(std::move(*record));
}

PersistOutcome FileRecordStore::Persist(const std::optional<api::Record>& expected,
                                        const api::Record& next,
                                        std::optional<api::Record>* current) {
  auto stored = Read();
  if (!stored.ok()) return Answer(PersistOutcome::kUnknown, current);
  // A retry after Unknown whose first write has landed.
  if (*stored == next) return PersistOutcome::kOk;
  const bool grows = next.version > (expected ? expected->version : 0);
  if (*stored != expected || !grows) return Answer(PersistOutcome::kConflict, current);

  // Of this writer and this write alone: two that shared a temporary could link each other's
  // content.
  const std::string temporary = PathOf(next.version) + std::string(kTemporary) + "." +
                                std::to_string(getpid()) + "." + base::Hex64(next.nonce);
  if (!local::WriteSynced(temporary, api::RecordToJson(next, 2) + "\n").ok()) {
    unlink(temporary.c_str());
    return Answer(PersistOutcome::kUnknown, current);
  }
  const bool linked = link(temporary.c_str(), PathOf(next.version).c_str()) == 0;
  const int error = errno;
  unlink(temporary.c_str());
  if (!linked) {
    return Answer(error == EEXIST ? PersistOutcome::kConflict : PersistOutcome::kUnknown, current);
  }
  if (!local::SyncFolder(directory_).ok()) return Answer(PersistOutcome::kUnknown, current);
  // A writer that slept between its look and its link may have taken a name that was in use and has
  // been cleaned away since: the newest version alone is the record.
  const auto newest = Newest();
  if (!newest.ok()) return Answer(PersistOutcome::kUnknown, current);
  if (*newest != next.version) {
    unlink(PathOf(next.version).c_str());
    return Answer(PersistOutcome::kConflict, current);
  }
  RemoveOld(next.version);
  return PersistOutcome::kOk;
}

PersistOutcome FileRecordStore::Answer(PersistOutcome outcome,
                                       std::optional<api::Record>* current) {
  auto stored = Read();
  *current = stored.ok() ? std::move(*stored) : std::nullopt;
  return outcome;
}

void FileRecordStore::RemoveOld(std::uint64_t newest) const {
  const auto files = List(directory_);
  if (!files.ok()) return;  // the next write tries again
  for (const fs::path& file : *files) {
    const auto version = VersionOf(file);
    if (version && *version + kKept < newest) unlink(file.c_str());
  }
}

}  // namespace muster::app

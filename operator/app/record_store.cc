#include "operator/app/record_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "operator/api/record_json.h"
#include "operator/base/text.h"
#include "operator/local/unique_fd.h"

namespace muster::app {
namespace {

namespace fs = std::filesystem;
using api::PersistOutcome;
using local::UniqueFd;

constexpr std::string_view kTemporary = ".new";

std::optional<std::uint64_t> VersionOf(const fs::path& file) {
  if (file.extension() != ".json") return std::nullopt;
  const std::string stem = file.stem().string();
  std::uint64_t version = 0;
  auto [end, error] = std::from_chars(stem.data(), stem.data() + stem.size(), version);
  if (error != std::errc() || end != stem.data() + stem.size()) return std::nullopt;
  return version;
}

bool SyncDirectory(const std::string& directory) {
  UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return fd && fsync(fd.get()) == 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileRecordStore>> FileRecordStore::Open(std::string directory) {
  std::error_code error;
  for (const auto& file : fs::directory_iterator(directory, error)) {
    const std::string name = file.path().filename().string();
    if (name.find(kTemporary) != std::string::npos) fs::remove(file.path(), error);
  }
  if (!fs::is_directory(directory, error)) {
    return base::NotFound("the folder of the record, " + directory + ", is not there");
  }
  return std::unique_ptr<FileRecordStore>(new FileRecordStore(std::move(directory)));
}

std::string FileRecordStore::PathOf(std::uint64_t version) const {
  return directory_ + "/" + std::to_string(version) + ".json";
}

std::optional<std::uint64_t> FileRecordStore::Newest() const {
  std::optional<std::uint64_t> newest;
  std::error_code error;
  for (const auto& file : fs::directory_iterator(directory_, error)) {
    const auto version = VersionOf(file.path());
    if (version && (!newest || *version > *newest)) newest = version;
  }
  return newest;
}

absl::StatusOr<std::optional<api::Record>> FileRecordStore::Read() {
  const auto newest = Newest();
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
  if (!WriteTemporary(temporary, api::RecordToJson(next, 2) + "\n").ok()) {
    unlink(temporary.c_str());
    return Answer(PersistOutcome::kUnknown, current);
  }
  const bool linked = link(temporary.c_str(), PathOf(next.version).c_str()) == 0;
  const int error = errno;
  unlink(temporary.c_str());
  if (!linked) {
    return Answer(error == EEXIST ? PersistOutcome::kConflict : PersistOutcome::kUnknown, current);
  }
  if (!SyncDirectory(directory_)) return Answer(PersistOutcome::kUnknown, current);
  // A writer that slept between its look and its link may have taken a name that was in use and has
  // been cleaned away since: the newest version alone is the record.
  if (Newest() != next.version) {
    unlink(PathOf(next.version).c_str());
    return Answer(PersistOutcome::kConflict, current);
  }
  RemoveOld(next.version);
  return PersistOutcome::kOk;
}

absl::Status FileRecordStore::WriteTemporary(const std::string& path,
                                             const std::string& content) const {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  std::size_t done = 0;
  while (fd && done < content.size()) {
    const ssize_t n = write(fd.get(), content.data() + done, content.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<std::size_t>(n);
  }
  if (!fd || done < content.size() || fsync(fd.get()) != 0) {
    return base::Unavailable("cannot write " + path + ": " + base::ErrnoText(errno));
  }
  return absl::OkStatus();
}

PersistOutcome FileRecordStore::Answer(PersistOutcome outcome,
                                       std::optional<api::Record>* current) {
  auto stored = Read();
  *current = stored.ok() ? std::move(*stored) : std::nullopt;
  return outcome;
}

void FileRecordStore::RemoveOld(std::uint64_t newest) const {
  std::error_code error;
  for (const auto& file : fs::directory_iterator(directory_, error)) {
    const auto version = VersionOf(file.path());
    if (version && *version + kKept < newest) fs::remove(file.path(), error);
  }
}

}  // namespace muster::app

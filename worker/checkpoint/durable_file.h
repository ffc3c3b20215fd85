// A file that appears whole or not at all: temporary name, sync, rename, sync of the folder.
//
// One thread at a time. Destroyed before Commit, it leaves nothing behind.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "operator/base/sha256.h"
#include "operator/base/status.h"

namespace muster::checkpoint {

struct FileDigest {
  std::int64_t bytes = 0;
  std::string sha256;  // hex
  friend bool operator==(const FileDigest&, const FileDigest&) = default;
};

class DurableFile {
 public:
  // The folder of `path` must exist.
  static absl::StatusOr<std::unique_ptr<DurableFile>> Create(const std::string& path);
  ~DurableFile();
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;

  absl::Status Write(std::span<const std::byte> bytes);
  absl::StatusOr<FileDigest> Commit();

 private:
  DurableFile(std::string path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}
  std::string path_;
  std::string temporary_;
  int fd_;
  std::int64_t bytes_ = 0;
  base::Sha256 hash_;
};

// The whole of a small file in one call.
absl::StatusOr<FileDigest> WriteDurably(const std::string& path, std::string_view content);
// Creates `dir` and the folders above it, and syncs the folder that got a new entry.
absl::Status MakeFolder(const std::string& dir);
// Makes renames and deletions inside `dir` survive a power cut.
absl::Status SyncFolder(const std::string& dir);
// NotFound when there is none.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path);

// The sentence for a failed write. A full disk, quota or file size limit is ResourceExhausted and
// says "No space left"; anything else is Unavailable.
absl::Status WriteError(std::string_view what, const std::string& path, int error);

}  // namespace muster::checkpoint

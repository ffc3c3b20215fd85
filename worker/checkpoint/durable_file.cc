// Temporary name, sync, rename, sync of the folder; and the sentences for what may go wrong.
#include "worker/checkpoint/durable_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace muster::checkpoint {
namespace {

std::string FolderOf(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Beside the final name, so that the rename stays inside one file system. mkostemp replaces the Xs:
// two members may publish the same file, and in two pods they may even have the same process id.
std::string TemporaryPattern(const std::string& path) {
  return FolderOf(path) + "/.tmp-" + path.substr(path.find_last_of('/') + 1) + "-XXXXXX";
}

}  // namespace

absl::Status WriteError(std::string_view what, const std::string& path, int error) {
  const std::string sentence =
      "cannot " + std::string(what) + " " + path + ": " + base::ErrnoText(error);
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    return base::ResourceExhausted("No space left for the checkpoint: " + sentence);
  }
  return base::Unavailable(sentence);
}

absl::StatusOr<std::unique_ptr<DurableFile>> DurableFile::Create(const std::string& path) {
  std::string temporary = TemporaryPattern(path);
  const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return WriteError("create", path, errno);
  ::fchmod(fd, 0644);  // mkostemp's 0600 would keep a later job of another user out
  return std::unique_ptr<DurableFile>(new DurableFile(path, temporary, fd));
}

DurableFile::~DurableFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

absl::Status DurableFile::Write(std::span<const std::byte> bytes) {
  hash_.Update(bytes);
  bytes_ += static_cast<std::int64_t>(bytes.size());
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return WriteError("write", path_, errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return absl::OkStatus();
}

absl::StatusOr<FileDigest> DurableFile::Commit() {
  if (::fsync(fd_) != 0) return WriteError("sync", path_, errno);
  const int closed = ::close(fd_);  // network file systems report a full disk here
  fd_ = -1;
  if (closed != 0) return WriteError("close", path_, errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return WriteError("rename", path_, errno);
  temporary_.clear();
  MUSTER_RETURN_IF_ERROR(SyncFolder(FolderOf(path_)));
  return FileDigest{bytes_, hash_.FinishHex()};
}

absl::StatusOr<FileDigest> WriteDurably(const std::string& path, std::string_view content) {
  MUSTER_ASSIGN_OR_RETURN(const std::unique_ptr<DurableFile> file, DurableFile::Create(path));
  MUSTER_RETURN_IF_ERROR(file->Write(std::as_bytes(std::span(content))));
  return file->Commit();
}

absl::Status MakeFolder(const std::string& dir) {
  if (::mkdir(dir.c_str(), 0755) == 0) return SyncFolder(FolderOf(dir));
  const int error = errno;
  if (error == ENOENT && FolderOf(dir) != dir) {
    MUSTER_RETURN_IF_ERROR(MakeFolder(FolderOf(dir)));
    if (::mkdir(dir.c_str(), 0755) == 0) return SyncFolder(FolderOf(dir));
  }
  struct stat info{};
  if (::stat(dir.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return absl::OkStatus();
  return WriteError("create the folder", dir, error);
}

absl::Status SyncFolder(const std::string& dir) {
  const int fd = ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return WriteError("open the folder", dir, errno);
  const int result = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  // Some network file systems have no sync of folders and say EINVAL.
  if (result != 0 && error != EINVAL) return WriteError("sync the folder", dir, error);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const std::string sentence = "cannot read " + path + ": " + base::ErrnoText(errno);
    return errno == ENOENT ? base::NotFound(sentence) : base::Unavailable(sentence);
  }
  std::string content;
  std::array<char, 65536> block;
  for (;;) {
    const ssize_t got = ::read(fd, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int error = errno;
      ::close(fd);
      return base::Unavailable("cannot read " + path + ": " + base::ErrnoText(error));
    }
    if (got == 0) break;
    content.append(block.data(), static_cast<std::size_t>(got));
  }
  ::close(fd);
  return content;
}

}  // namespace muster::checkpoint

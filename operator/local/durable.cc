#include "operator/local/durable.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>

#include "operator/local/unique_fd.h"

namespace muster::local {
namespace {

absl::Status CannotWrite(const std::string& path, int error) {
  return base::Unavailable("cannot write " + path + ": " + base::ErrnoText(error));
}

}  // namespace

absl::Status WriteSynced(const std::string& path, std::string_view content) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd) return CannotWrite(path, errno);
  while (!content.empty()) {
    const ssize_t n = write(fd.get(), content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return CannotWrite(path, errno);
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  if (fsync(fd.get()) != 0) return CannotWrite(path, errno);
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::string& folder) {
  UniqueFd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || fsync(fd.get()) != 0) return CannotWrite(folder, errno);
  return absl::OkStatus();
}

absl::Status ReplaceFile(const std::string& path, std::string_view content) {
  const std::string temporary = path + ".new";
  MUSTER_RETURN_IF_ERROR(WriteSynced(temporary, content));
  if (rename(temporary.c_str(), path.c_str()) != 0) return CannotWrite(path, errno);
  return SyncFolder(std::filesystem::path(path).parent_path().string());
}

}  // namespace muster::local

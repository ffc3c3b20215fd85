#include "operator/kube/access.h"

#include <cerrno>
#include <fstream>
#include <iterator>
#include <utility>

#include "operator/runtime/mutex.h"

namespace muster::kube {
namespace {

class StaticAccess final : public AccessSource {
 public:
  explicit StaticAccess(Access access)
      : access_(std::make_shared<const Access>(std::move(access))) {}
  absl::StatusOr<std::shared_ptr<const Access>> Current() override { return access_; }
  void Refused(const Access&) override {}

 private:
  const std::shared_ptr<const Access> access_;
};

absl::StatusOr<std::string> ReadText(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return base::Unavailable("cannot read " + path + ": " + base::ErrnoText(errno));
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (file.bad()) return base::Unavailable("cannot read " + path);
  if (text.empty()) return base::Unavailable(path + " is empty");
  return text;
}

std::string WithoutEndSpace(std::string text) {
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  text.resize(last == std::string::npos ? 0 : last + 1);
  return text;
}

class FileAccess final : public AccessSource {
 public:
  FileAccess(Access fixed, AccessFiles files, const runtime::Clock& clock)
      : fixed_(std::move(fixed)), files_(std::move(files)), clock_(clock) {}

  absl::StatusOr<std::shared_ptr<const Access>> Current() override {
    runtime::MutexLock lock(mutex_);
    const base::Time now = clock_.Now();
    if (current_ && now < again_) return current_;
    absl::StatusOr<Access> read = Read();
    again_ = now + kFileRefresh;
    if (read.ok()) {
      // The same object while nothing has changed: connections are kept by it.
      if (!current_ || *current_ != *read) {
        current_ = std::make_shared<const Access>(std::move(*read));
      }
    } else if (!current_) {
      return read.status();
    }
    return current_;
  }

  void Refused(const Access&) override {
    runtime::MutexLock lock(mutex_);
    again_ = base::Time();
  }

 private:
  absl::StatusOr<Access> Read() const {
    Access access = fixed_;
    const std::pair<const std::string*, std::string*> parts[] = {
        {&files_.ca, &access.ca_pem},
        {&files_.certificate, &access.certificate_pem},
        {&files_.key, &access.key_pem},
        {&files_.token, &access.token}};
    for (const auto& [path, value] : parts) {
      if (path->empty()) continue;
      MUSTER_ASSIGN_OR_RETURN(*value, ReadText(*path));
    }
    access.token = WithoutEndSpace(std::move(access.token));
    return access;
  }

  const Access fixed_;
  const AccessFiles files_;
  const runtime::Clock& clock_;
  runtime::Mutex mutex_;
  std::shared_ptr<const Access> current_ MUSTER_GUARDED_BY(mutex_);
  base::Time again_ MUSTER_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<AccessSource> MakeStaticAccess(Access access) {
  return std::make_unique<StaticAccess>(std::move(access));
}

absl::StatusOr<std::unique_ptr<AccessSource>> MakeFileAccess(Access fixed, AccessFiles files,
                                                             const runtime::Clock& clock) {
  auto source = std::make_unique<FileAccess>(std::move(fixed), std::move(files), clock);
  MUSTER_RETURN_IF_ERROR(source->Current().status());
  return std::unique_ptr<AccessSource>(std::move(source));
}

}  // namespace muster::kube

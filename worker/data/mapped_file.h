// A whole file as read-only memory. Unmapped with the object; any thread may read.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "operator/base/status.h"

namespace muster::data {

class MappedFile {
 public:
  // NotFound or FailedPrecondition with a sentence that names `path`; an empty file is
  // allowed.
  static absl::StatusOr<std::unique_ptr<MappedFile>> Open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

}  // namespace muster::data

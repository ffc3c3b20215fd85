// A safetensors file that is open for reading, with its header understood: what our own files and
// those of others have in common.
//
// Nothing but the header is held in memory. Reads name their place, so any thread may read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "operator/base/status.h"

namespace muster::checkpoint {

// The format's own bound: longer headers are refused by every reader.
inline constexpr std::uint64_t kMostHeaderBytes = 100'000'000;

struct StoredTensor {
  std::string name;
  std::string dtype;  // as the format spells it: "F32"
  std::vector<std::int64_t> shape;
  std::int64_t elements = 0;
  std::int64_t begin = 0, end = 0;  // bytes of the file
};

class SafetensorsFile {
 public:
  // NotFound or Unavailable: it cannot be read. DataLoss, with a sentence that names the file: its
  // header is no such header, or speaks of bytes that are not there or do not fit a shape.
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Open(const std::string& path);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const std::string& path() const { return path_; }
  std::int64_t bytes() const { return bytes_; }
  // All that comes before the tensors' bytes.
  const std::string& head() const { return head_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // In the order of their bytes. There may be holes.
  const std::vector<StoredTensor>& tensors() const { return tensors_; }

  // Fills `out` with the bytes from `offset` on. DataLoss when the file ends before.
  absl::Status ReadAt(std::int64_t offset, std::span<std::byte> out) const;

 private:
  SafetensorsFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  absl::Status ReadHeader();
  absl::Status ParseHeader(const std::string& json);
  absl::Status Truncated(const std::string& sentence) const {
    return base::DataLoss(path_ + " is truncated: " + sentence);
  }
  absl::Status Altered(const std::string& sentence) const {
    return base::DataLoss(path_ + " is altered, or no safetensors file: " + sentence);
  }

  const std::string path_;
  const int fd_;
  std::int64_t bytes_ = 0;
  std::string head_;
  std::map<std::string, std::string> metadata_;
  std::vector<StoredTensor> tensors_;
};

// "[2, 3]".
std::string ShapeText(const std::vector<std::int64_t>& shape);

}  // namespace muster::checkpoint

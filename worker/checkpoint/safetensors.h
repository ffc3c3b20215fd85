// The safetensors format: 8-byte little-endian header length, JSON header, tensor bytes without
// holes.
//
// Writer and reader stream: a file is never held in memory, and its SHA-256 is made on the way. One
// thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "operator/base/sha256.h"
#include "operator/base/status.h"
#include "worker/checkpoint/durable_file.h"
#include "worker/checkpoint/safetensors_file.h"

namespace muster::checkpoint {

// A tensor of 32-bit floats, the only element type that our checkpoints hold.
struct FloatTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  // -1 for a shape with a negative extent or more elements than any file holds.
  std::int64_t elements() const;
  friend bool operator==(const FloatTensor&, const FloatTensor&) = default;
};

class SafetensorsWriter {
 public:
  // Tensors are written in the given order. Nothing appears under `path` before Finish.
  static absl::StatusOr<std::unique_ptr<SafetensorsWriter>> Create(
      const std::string& path, const std::vector<FloatTensor>& tensors,
      const std::map<std::string, std::string>& metadata);

  // The next elements, across tensor borders.
  absl::Status Append(std::span<const float> values);
  // FailedPrecondition when elements are missing.
  absl::StatusOr<FileDigest> Finish();

 private:
  SafetensorsWriter(std::unique_ptr<DurableFile> file, std::int64_t elements)
      : file_(std::move(file)), missing_(elements) {}
  std::unique_ptr<DurableFile> file_;
  std::int64_t missing_;
};

// Reads a file of floats that follow each other without a hole, as the writer makes them, from the
// first to the last.
class SafetensorsReader {
 public:
  // DataLoss names the file and what is wrong with its header or length.
  static absl::StatusOr<std::unique_ptr<SafetensorsReader>> Open(const std::string& path);
  SafetensorsReader(const SafetensorsReader&) = delete;
  SafetensorsReader& operator=(const SafetensorsReader&) = delete;

  const std::vector<FloatTensor>& tensors() const {
    return tensors_;
  }  // in the order of their bytes
  const std::map<std::string, std::string>& metadata() const { return file_->metadata(); }
  std::int64_t bytes() const { return file_->bytes(); }

  // The next elements, across tensor borders.
  absl::Status Read(std::span<float> out);
  // After the last element: the SHA-256 of the whole file as it was read.
  absl::StatusOr<std::string> FinishSha256();

 private:
  explicit SafetensorsReader(std::unique_ptr<SafetensorsFile> file) : file_(std::move(file)) {}
  // Every tensor is one of floats, and nothing lies between or behind them.
  absl::Status TakeTensors();

  const std::unique_ptr<SafetensorsFile> file_;
  std::int64_t at_ = 0;       // the next byte of the file
  std::int64_t missing_ = 0;  // elements not yet read
  std::vector<FloatTensor> tensors_;
  base::Sha256 hash_;
};

}  // namespace muster::checkpoint

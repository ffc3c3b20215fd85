// A data set of tokens, opened whole and checked whole: what Open accepts, Read can serve.
//
// Any thread may read. The tokens of all files, one after the other, are cut in two: the last tenth
// is held out, the rest is the training part. A training sample is the window of `sample_tokens`
// tokens (context + 1) that starts at any position of the training part: sample id = start
// position, so samples() = training tokens - sample_tokens + 1. Windows overlap, because a small
// text generalises better when it is seen at every offset; E1's permutation visits each once a data
// epoch. The held-out part is read in rows of `sample_tokens` tokens that share only their border
// token, so that each held-out token but the first is predicted once; a last partial row is left
// out.
//
//   text      every regular file under the path after resolving links, each once, dotfiles
//             skipped, in byte order of the relative name; bytes are tokens
//   llmc      256 x int32 header (magic 20240520, version 1, tokens), then uint16
//   tokens16  bare uint16; for both: one file, or a folder's *.bin files in byte order of the name
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "operator/api/training_job.h"
#include "operator/base/status.h"
#include "worker/data/mapped_file.h"

namespace muster::data {

class Dataset {
 public:
  // Maps the files, checks every token against `vocabulary` and hashes the contents. Every error is
  // a sentence with the path, what is wrong with it and what is allowed.
  static absl::StatusOr<std::unique_ptr<Dataset>> Open(const api::DataSpec& spec,
                                                       std::int32_t sample_tokens,
                                                       std::int32_t vocabulary);
  // For programs that read no tokens (bench): sample ids exist (and appear in the audit), rows are
  // empty.
  static std::unique_ptr<Dataset> WithoutTokens();

  Dataset(const Dataset&) = delete;
  Dataset& operator=(const Dataset&) = delete;

  std::int64_t samples() const { return samples_; }
  std::int32_t sample_tokens() const { return sample_tokens_; }
  // out.size() == sample_tokens, id < samples().
  void Read(std::uint64_t id, std::span<std::int32_t> out) const;

  std::int64_t held_out_rows() const { return held_out_rows_; }
  // out.size() == sample_tokens, 0 <= row < held_out_rows().
  void ReadHeldOut(std::int64_t row, std::span<std::int32_t> out) const;

  // All tokens in order: the training part [0, training_tokens()), then the held-out part.
  std::int64_t tokens() const { return tokens_; }
  std::int64_t training_tokens() const { return training_tokens_; }
  void CopyTokens(std::int64_t start, std::span<std::int32_t> out) const;

  api::DataFormat format() const { return format_; }
  // Hex SHA-256 over the manifest: format, relative names, sizes, content hashes, sample_tokens,
  // split. A resume refuses another one.
  const std::string& digest() const { return digest_; }

 private:
  // One file's tokens, where they start in the concatenation.
  struct Segment {
    std::string name;
    std::unique_ptr<MappedFile> file;
    std::int64_t header_bytes = 0;
    std::int64_t first_token = 0;
    std::int64_t tokens = 0;
  };

  Dataset() = default;
  absl::Status AddFile(const std::string& name, const std::string& path);
  absl::Status CheckVocabulary(const Segment& segment, std::int32_t vocabulary) const;
  absl::Status Split(const std::string& path);
  void ComputeDigest();

  api::DataFormat format_ = api::DataFormat::kText;
  std::int32_t token_bytes_ = 1;
  std::int32_t sample_tokens_ = 0;
  std::int64_t tokens_ = 0;
  std::int64_t training_tokens_ = 0;
  std::int64_t samples_ = 0;
  std::int64_t held_out_rows_ = 0;
  std::vector<Segment> segments_;
  std::string digest_;
};

}  // namespace muster::data

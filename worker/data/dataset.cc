// Opening, checking, splitting and reading a data set.
#include "worker/data/dataset.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "operator/base/check.h"
#include "operator/base/sha256.h"
#include "worker/data/corpus_files.h"

namespace muster::data {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are little-endian");

constexpr std::int64_t kLlmcHeaderBytes = 256 * 4;
constexpr std::int32_t kLlmcMagic = 20240520;
constexpr std::int32_t kLlmcVersion = 1;
constexpr std::int64_t kHeldOutShare = 10;  // the last tenth

std::string FormatName(api::DataFormat format) {
  switch (format) {
    case api::DataFormat::kText:
      return "text";
    case api::DataFormat::kLlmc:
      return "llmc";
    case api::DataFormat::kTokens16:
      return "tokens16";
  }
  return "unknown";
}

std::int32_t HeaderWord(std::span<const std::byte> bytes, std::size_t index) {
  std::int32_t word = 0;
  std::memcpy(&word, bytes.data() + index * sizeof(word), sizeof(word));
  return word;
}

std::uint16_t TokenAt(std::span<const std::byte> tokens, std::size_t index) {
  std::uint16_t token = 0;
  std::memcpy(&token, tokens.data() + index * sizeof(token), sizeof(token));
  return token;
}

absl::Status CheckLlmcHeader(const std::string& path, std::span<const std::byte> bytes) {
  const auto size = static_cast<std::int64_t>(bytes.size());
  if (size < kLlmcHeaderBytes) {
    return base::FailedPrecondition(path + " has " + std::to_string(size) +
                                    " bytes; an llmc file begins with a header of 1024");
  }
  if (HeaderWord(bytes, 0) != kLlmcMagic) {
    return base::FailedPrecondition(
        path + " has the magic number " + std::to_string(HeaderWord(bytes, 0)) +
        "; an llmc file has 20240520 (for bare tokens use format tokens16)");
  }
  if (HeaderWord(bytes, 1) != kLlmcVersion) {
    return base::FailedPrecondition(path + " has llmc version " +
                                    std::to_string(HeaderWord(bytes, 1)) +
                                    "; only version 1 (uint16 tokens) can be read");
  }
  const std::int64_t said = HeaderWord(bytes, 2);
  if (said < 0 || size != kLlmcHeaderBytes + 2 * said) {
    return base::FailedPrecondition(path + " has " + std::to_string(size - kLlmcHeaderBytes) +
                                    " bytes of tokens, but its header says " +
                                    std::to_string(said) +
                                    " tokens of 2 bytes; the two must agree");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> Dataset::Open(const api::DataSpec& spec,
                                                       std::int32_t sample_tokens,
                                                       std::int32_t vocabulary) {
  if (sample_tokens < 2) {
    return base::InvalidArgument("a sample of " + std::to_string(sample_tokens) +
                                 " tokens predicts nothing; it needs at least 2 (context + 1)");
  }
  std::unique_ptr<Dataset> dataset(new Dataset());
  dataset->format_ = spec.format;
  dataset->token_bytes_ = spec.format == api::DataFormat::kText ? 1 : 2;
  dataset->sample_tokens_ = sample_tokens;
  MUSTER_ASSIGN_OR_RETURN(const std::vector<CorpusFile> files, spec.format == api::DataFormat::kText
                                                                   ? ListTextFiles(spec.path)
                                                                   : ListTokenFiles(spec.path));
  for (const CorpusFile& file : files) {
    MUSTER_RETURN_IF_ERROR(dataset->AddFile(file.name, file.path));
    MUSTER_RETURN_IF_ERROR(dataset->CheckVocabulary(dataset->segments_.back(), vocabulary));
  }
  MUSTER_RETURN_IF_ERROR(dataset->Split(spec.path));
  dataset->ComputeDigest();
  return dataset;
}

std::unique_ptr<Dataset> Dataset::WithoutTokens() {
  std::unique_ptr<Dataset> dataset(new Dataset());
  dataset->samples_ = std::int64_t{1} << 40;  // as good as endless: no run wraps around
  dataset->digest_ = base::Sha256Hex("muster-data 1\nwithout tokens\n");
  return dataset;
}

absl::Status Dataset::AddFile(const std::string& name, const std::string& path) {
  Segment segment;
  segment.name = name;
  MUSTER_ASSIGN_OR_RETURN(segment.file, MappedFile::Open(path));
  const std::span<const std::byte> bytes = segment.file->bytes();
  if (format_ == api::DataFormat::kLlmc) {
    MUSTER_RETURN_IF_ERROR(CheckLlmcHeader(path, bytes));
    segment.header_bytes = kLlmcHeaderBytes;
  }
  const std::int64_t payload = static_cast<std::int64_t>(bytes.size()) - segment.header_bytes;
  if (payload % token_bytes_ != 0) {
    return base::FailedPrecondition(path + " has an odd number of bytes (" +
                                    std::to_string(payload) + "); a token has 2 bytes");
  }
  segment.first_token = tokens_;
  segment.tokens = payload / token_bytes_;
  tokens_ += segment.tokens;
  segments_.push_back(std::move(segment));
  return absl::OkStatus();
}

absl::Status Dataset::CheckVocabulary(const Segment& segment, std::int32_t vocabulary) const {
  if (vocabulary >= (token_bytes_ == 1 ? 256 : 65536)) return absl::OkStatus();
  const auto tokens = segment.file->bytes().subspan(static_cast<std::size_t>(segment.header_bytes));
  for (std::size_t i = 0; i < static_cast<std::size_t>(segment.tokens); ++i) {
    const std::int32_t token =
        token_bytes_ == 1 ? std::to_integer<std::int32_t>(tokens[i]) : TokenAt(tokens, i);
    if (token >= vocabulary) {
      return base::FailedPrecondition(segment.name + " has token " + std::to_string(token) +
                                      " at position " + std::to_string(i) +
                                      ", beyond the vocabulary; program.config.vocabulary is " +
                                      std::to_string(vocabulary) + ", so tokens go from 0 to " +
                                      std::to_string(vocabulary - 1));
    }
  }
  return absl::OkStatus();
}

absl::Status Dataset::Split(const std::string& path) {
  const std::int64_t held_out = tokens_ / kHeldOutShare;
  const std::string unit = token_bytes_ == 1 ? " bytes" : " tokens";
  if (tokens_ == 0) {
    return base::FailedPrecondition(path + " is empty: " + std::to_string(segments_.size()) +
                                    " files, 0" + unit);
  }
  if (held_out < sample_tokens_) {
    return base::FailedPrecondition(
        path + " has " + std::to_string(tokens_) + unit + ", too short for sequences of " +
        std::to_string(sample_tokens_) +
        " (context + 1): the last tenth is held out and must hold " + "one, so at least " +
        std::to_string(kHeldOutShare * sample_tokens_) + unit + " are needed");
  }
  training_tokens_ = tokens_ - held_out;
  samples_ = training_tokens_ - sample_tokens_ + 1;
  held_out_rows_ = (held_out - 1) / (sample_tokens_ - 1);
  return absl::OkStatus();
}

void Dataset::ComputeDigest() {
  base::Sha256 manifest;
  manifest.Update("muster-data 1\nformat " + FormatName(format_) + "\n");
  for (const Segment& segment : segments_) {
    base::Sha256 content;
    content.Update(segment.file->bytes());
    // The name's length keeps two different manifests from reading alike.
    manifest.Update("file " + std::to_string(segment.name.size()) + " " + segment.name + " " +
                    std::to_string(segment.file->bytes().size()) + " " + content.FinishHex() +
                    "\n");
  }
  manifest.Update("sample_tokens " + std::to_string(sample_tokens_) + "\ntraining_tokens " +
                  std::to_string(training_tokens_) + "\n");
  digest_ = manifest.FinishHex();
}

void Dataset::CopyTokens(std::int64_t start, std::span<std::int32_t> out) const {
  MUSTER_CHECK(start >= 0 && start + static_cast<std::int64_t>(out.size()) <= tokens_,
               "a read past the end of the data");
  auto segment = std::upper_bound(
      segments_.begin(), segments_.end(), start,
      [](std::int64_t position, const Segment& s) { return position < s.first_token; });
  --segment;
  std::size_t done = 0;
  while (done < out.size()) {
    const std::int64_t inside = start + static_cast<std::int64_t>(done) - segment->first_token;
    const std::size_t count =
        std::min(out.size() - done, static_cast<std::size_t>(segment->tokens - inside));
    const auto bytes = segment->file->bytes().subspan(
        static_cast<std::size_t>(segment->header_bytes + inside * token_bytes_));
    for (std::size_t i = 0; i < count; ++i) {
      out[done + i] =
          token_bytes_ == 1 ? std::to_integer<std::int32_t>(bytes[i]) : TokenAt(bytes, i);
    }
    done += count;
    ++segment;
  }
}

void Dataset::Read(std::uint64_t id, std::span<std::int32_t> out) const {
  MUSTER_CHECK(id < static_cast<std::uint64_t>(samples_) &&
                   out.size() == static_cast<std::size_t>(sample_tokens_),
               "a sample id is below samples() and a row has sample_tokens() tokens");
  if (!out.empty()) CopyTokens(static_cast<std::int64_t>(id), out);
}

void Dataset::ReadHeldOut(std::int64_t row, std::span<std::int32_t> out) const {
  MUSTER_CHECK(
      row >= 0 && row < held_out_rows_ && out.size() == static_cast<std::size_t>(sample_tokens_),
      "a held-out row is below held_out_rows() and has sample_tokens() tokens");
  CopyTokens(training_tokens_ + row * (sample_tokens_ - 1), out);
}

}  // namespace muster::data

// The bytes of the format, and what a reader says about broken ones.
#include "worker/checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tests/worker/checkpoint/small_state.h"

namespace muster::checkpoint {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

std::string WriteExample(const ScratchFolder& folder) {
  auto writer =
      SafetensorsWriter::Create(folder / "t", {{"b", {2, 2}}, {"a", {3}}}, {{"format", "pt"}});
  EXPECT_TRUE(writer.ok()) << writer.status();
  const std::vector<float> values = {1, 2, 3, 4, 5, 6, 7};
  EXPECT_TRUE((*writer)->Append(std::span(values).first(3)).ok());
  EXPECT_TRUE((*writer)->Append(std::span(values).last(4)).ok());
  const auto digest = (*writer)->Finish();
  EXPECT_TRUE(digest.ok()) << digest.status();
  return digest.ok() ? digest->sha256 : "";
}

std::string Broken(const ScratchFolder& folder, const std::string& content) {
  WriteAll(folder / "broken", content);
  const auto reader = SafetensorsReader::Open(folder / "broken");
  EXPECT_TRUE(absl::IsDataLoss(reader.status())) << reader.status();
  return base::Message(reader.status());
}

std::string WithHeader(const std::string& json, std::size_t data_bytes) {
  const std::uint64_t length = json.size();
  std::string file(sizeof(length), '\0');
  std::memcpy(file.data(), &length, sizeof(length));
  return file + json + std::string(data_bytes, '\0');
}

TEST(SafetensorsTest, WritesTheFormatToTheByte) {
  ScratchFolder folder;
  WriteExample(folder);
  const std::string file = ReadAll(folder / "t");
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  EXPECT_EQ(length % 8, 0u);
  const std::string header = file.substr(8, length);
  EXPECT_EQ(
      header.substr(0, header.find_last_not_of(' ') + 1),
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
      R"("a":{"dtype":"F32","shape":[3],"data_offsets":[16,28]}})");
  ASSERT_EQ(file.size(), 8 + length + 28);
  std::vector<float> values(7);
  std::memcpy(values.data(), file.data() + 8 + length, 28);
  EXPECT_THAT(values, ElementsAre(1, 2, 3, 4, 5, 6, 7));
}

TEST(SafetensorsTest, ReadsBackInPiecesWithTheSameDigest) {
  ScratchFolder folder;
  const std::string sha256 = WriteExample(folder);
  EXPECT_EQ(sha256, base::Sha256Hex(ReadAll(folder / "t")));
  const auto reader = SafetensorsReader::Open(folder / "t");
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ((*reader)->tensors(), (std::vector<FloatTensor>{{"b", {2, 2}}, {"a", {3}}}));
  EXPECT_THAT((*reader)->metadata(), ElementsAre(Pair("format", "pt")));
  std::vector<float> values(7);
  ASSERT_TRUE((*reader)->Read(std::span(values).first(5)).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition((*reader)->FinishSha256().status()));
  ASSERT_TRUE((*reader)->Read(std::span(values).last(2)).ok());
  EXPECT_THAT(values, ElementsAre(1, 2, 3, 4, 5, 6, 7));
  EXPECT_EQ(*(*reader)->FinishSha256(), sha256);
}

TEST(SafetensorsTest, AnUnfinishedWriterLeavesNothing) {
  ScratchFolder folder;
  auto writer = SafetensorsWriter::Create(folder / "t", {{"a", {3}}}, {});
  ASSERT_TRUE(writer.ok());
  EXPECT_TRUE(absl::IsFailedPrecondition((*writer)->Finish().status()));
  writer->reset();
  EXPECT_TRUE(folder.List().empty());
}

TEST(SafetensorsTest, TruncationAtEveryLengthIsFound) {
  ScratchFolder folder;
  WriteExample(folder);
  const std::string file = ReadAll(folder / "t");
  for (std::size_t length = 0; length < file.size(); ++length) {
    EXPECT_THAT(Broken(folder, file.substr(0, length)), AllOf(HasSubstr("/broken is truncated")));
  }
  EXPECT_THAT(Broken(folder, file + "x"), HasSubstr("is altered"));
}

TEST(SafetensorsTest, HeadersThatAreNotOursAreRefused) {
  ScratchFolder folder;
  const std::vector<std::string> headers = {
      "not json",
      "[]",
      "{\"a\":1}",
      R"({"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}})",
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})",
      R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,-4]}})",
      R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})",
      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[-9223372036854775808,9223372036854775807]}})",
      R"({"a":{"dtype":"F32","shape":[1]}})",
      R"({"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}})"};
  for (const std::string& header : headers) {
    EXPECT_THAT(Broken(folder, WithHeader(header, 4)), HasSubstr("is altered")) << header;
  }
  const std::string hole = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})";
  EXPECT_THAT(Broken(folder, WithHeader(hole, 8)), HasSubstr("is altered"));
}

TEST(SafetensorsTest, AMissingFileIsNotFound) {
  ScratchFolder folder;
  EXPECT_TRUE(absl::IsNotFound(SafetensorsReader::Open(folder / "none").status()));
}

}  // namespace
}  // namespace muster::checkpoint

// Names and JSON: what is written reads back, and what is not ours is refused with its field.
#include "worker/checkpoint/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/checkpoint/small_state.h"

namespace muster::checkpoint {
namespace {

using testing::HasSubstr;

Manifest Example() {
  Manifest manifest;
  manifest.header = SmallHeader(100, 3);
  manifest.tensors = {{"wte", {4, 5}, 0}, {"bias", {3}, 20}};
  manifest.parts = {{"part-00000-of-00002.safetensors", 200, std::string(64, 'a'), 0, 11},
                    {"part-00001-of-00002.safetensors", 210, std::string(64, 'b'), 11, 23}};
  return manifest;
}

std::string Refused(std::string json, const std::string& from, const std::string& to) {
  const std::size_t at = json.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  json.replace(at, from.size(), to);
  const auto manifest = ManifestFromJson(json);
  EXPECT_FALSE(manifest.ok()) << json;
  return base::Message(manifest.status());
}

TEST(ManifestTest, ReadsBackWhatWasWritten) {
  const auto manifest = ManifestFromJson(ManifestToJson(Example()));
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(*manifest, Example());
  Manifest huge = Example();
  huge.header.state_digest = ~std::uint64_t{0};
  huge.header.exponents.clear();
  EXPECT_EQ(ManifestFromJson(ManifestToJson(huge)).value(), huge);
}

TEST(ManifestTest, EveryFieldIsNeededAndTyped) {
  const std::string json = ManifestToJson(Example());
  EXPECT_THAT(Refused(json, "formatVersion\": \"1", "formatVersion\": \"2"),
              HasSubstr("this build reads version 1"));
  EXPECT_THAT(Refused(json, "\"step\": \"100\"", "\"step\": 100"),
              HasSubstr("step must be a string"));
  EXPECT_THAT(Refused(json, "\"epoch\": \"3\"", "\"epoch\": \"3x\""),
              HasSubstr("epoch must be a number in a string, not '3x'"));
  EXPECT_THAT(Refused(json, "0123456789abcdef", "0123456789abcdeg"), HasSubstr("stateDigest"));
  EXPECT_THAT(Refused(json, "\"jobUid\"", "\"other\""), HasSubstr("jobUid must be"));
  EXPECT_THAT(Refused(json, "12\n", "\"12\"\n"), HasSubstr("exponents must be a list of integers"));
  EXPECT_THAT(Refused(json, "\"parts\"", "\"pieces\""), HasSubstr("parts must be a list"));
  EXPECT_THAT(Refused(json, "\"tensors\"", "\"t\""), HasSubstr("tensors must be a list"));
  EXPECT_THAT(Refused(json, "part-00000", "../part-00000"), HasSubstr("plain file name"));
  EXPECT_FALSE(ManifestFromJson(json.substr(0, json.size() / 2)).ok());
  EXPECT_FALSE(ManifestFromJson("").ok());
}

TEST(ManifestTest, PartsMustCoverEverythingOnce) {
  const std::string json = ManifestToJson(Example());
  EXPECT_THAT(Refused(json, "\"end\": \"11\"", "\"end\": \"10\""), HasSubstr("end at 10"));
  EXPECT_THAT(Refused(json, "\"end\": \"23\"", "\"end\": \"22\""),
              HasSubstr("the parts end at element 22 of 23"));
}

TEST(PartInfoTest, ReadsBackWhatWasWritten) {
  const PartInfo part = Example().parts[1];
  EXPECT_EQ(PartInfoFromJson(PartInfoToJson(part)).value(), part);
  EXPECT_FALSE(PartInfoFromJson("[]").ok());
  EXPECT_FALSE(PartInfoFromJson("{}").ok());
}

TEST(FolderNameTest, OnlyOurNamesAreOurs) {
  EXPECT_EQ(FolderName(base::Step(100), base::Epoch(3)), "step-00000100-e3");
  EXPECT_EQ(FolderName(base::Step(1234567890), base::Epoch(0)), "step-1234567890-e0");
  for (const std::int64_t step : {0, 7, 99999999, 1234567890}) {
    const FolderId id{base::Step(step), base::Epoch(12)};
    EXPECT_EQ(ParseFolderName(FolderName(id.step, id.epoch)), id);
  }
  for (const char* name :
       {"", "step-1-e1", "step-00000100", "step-00000100-e", "step-00000100-e3.tmp",
        "step-00000100-e03", "step--0000100-e3", "latest.json", "Step-00000100-e3"}) {
    EXPECT_EQ(ParseFolderName(name), std::nullopt) << name;
  }
}

TEST(PartSliceTest, CutsEverythingOnceForAnySize) {
  for (std::int64_t parameters : {0, 1, 5, 23, 1000003}) {
    for (std::int32_t size = 1; size <= 9; ++size) {
      std::int64_t end = 0;
      for (std::int32_t rank = 0; rank < size; ++rank) {
        const Slice slice = PartSlice(parameters, rank, size);
        EXPECT_EQ(slice.begin, end);
        EXPECT_LE(slice.end - slice.begin, parameters / size + 1);
        end = slice.end;
      }
      EXPECT_EQ(end, parameters);
    }
  }
}

}  // namespace
}  // namespace muster::checkpoint

// Written by any number of members, read by one; and every kind of damage is found and named.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/checkpoint/small_state.h"
#include "worker/checkpoint/durable_file.h"
#include "worker/checkpoint/safetensors.h"

namespace muster::checkpoint {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kFolder[] = "step-00000100-e3";

std::string Damage(const ScratchFolder& folder, const api::CheckpointRef& ref) {
  SmallState loaded = SmallState::Empty();
  const auto header = LoadCheckpoint(folder.path(), ref, loaded.buffers());
  EXPECT_TRUE(absl::IsDataLoss(header.status())) << header.status();
  return base::Message(header.status());
}

void FlipBit(const std::string& path, std::size_t at) {
  std::string content = ReadAll(path);
  content[at] = static_cast<char>(content[at] ^ 4);
  WriteAll(path, content);
}

TEST(CheckpointTest, AnyNumberOfMembersWritesAndOneReads) {
  for (std::int32_t size : {1, 2, 3, 4, 5, 30}) {
    ScratchFolder folder;
    const SmallState state(1.25f);
    const api::CheckpointRef ref = WriteCheckpoint(folder.path(), state, 100, 3, size);
    SmallState loaded = SmallState::Empty();
    const auto header = LoadCheckpoint(folder.path(), ref, loaded.buffers());
    ASSERT_TRUE(header.ok()) << header.status();
    EXPECT_EQ(*header, SmallHeader(100, 3));
    EXPECT_EQ(loaded, state) << size << " members";
  }
}

TEST(CheckpointTest, WritingItAgainGivesTheSameBytes) {
  ScratchFolder folder;
  const SmallState state;
  const api::CheckpointRef first = WriteCheckpoint(folder.path(), state, 100, 3, 2);
  const api::CheckpointRef again = WriteCheckpoint(folder.path(), state, 100, 3, 2, /*final=*/true);
  EXPECT_EQ(first, again);
  EXPECT_THAT(folder.List(kFolder),
              ElementsAre("config.json", "manifest.json", "model.safetensors",
                          "part-00000-of-00002.safetensors", "part-00001-of-00002.safetensors"));
}

TEST(CheckpointTest, FinalModelHasNamesShapesAndWeightsAndDoesNotDependOnTheMembers) {
  std::vector<std::string> digests;
  for (std::int32_t size : {1, 3}) {
    ScratchFolder folder;
    const SmallState state(2.5f);
    WriteCheckpoint(folder.path(), state, 100 + size, 3, size, /*final=*/true);
    const std::string path = folder / FolderName(base::Step(100 + size), base::Epoch(3));
    const auto reader = SafetensorsReader::Open(path + "/model.safetensors");
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ((*reader)->tensors(), (std::vector<FloatTensor>{{"transformer.wte.weight", {4, 5}},
                                                              {"transformer.ln_f.bias", {3}}}));
    std::vector<float> weights(23);
    ASSERT_TRUE((*reader)->Read(weights).ok());
    EXPECT_EQ(weights, state.weights);
    digests.push_back((*reader)->FinishSha256().value());
    EXPECT_THAT(ReadAll(path + "/config.json"),
                AllOf(HasSubstr("\"model_type\": \"gpt2\""), HasSubstr("\"n_embd\": 128")));
  }
  EXPECT_EQ(digests[0], digests[1]);
}

TEST(CheckpointTest, TruncatedPartIsNamed) {
  ScratchFolder folder;
  const api::CheckpointRef ref = WriteCheckpoint(folder.path(), SmallState(), 100, 3, 3);
  const std::string part = folder / kFolder + "/part-00001-of-00003.safetensors";
  const std::string content = ReadAll(part);
  for (std::size_t length :
       {std::size_t{0}, std::size_t{7}, content.size() / 2, content.size() - 1}) {
    WriteAll(part, content.substr(0, length));
    EXPECT_THAT(Damage(folder, ref), HasSubstr("/part-00001-of-00003.safetensors is truncated"));
  }
}

TEST(CheckpointTest, EveryFlippedBitOfAPartIsFound) {
  ScratchFolder folder;
  const api::CheckpointRef ref = WriteCheckpoint(folder.path(), SmallState(), 100, 3, 2);
  const std::string part = folder / kFolder + "/part-00000-of-00002.safetensors";
  const std::string content = ReadAll(part);
  for (std::size_t at = 0; at < content.size(); ++at) {
    FlipBit(part, at);
    EXPECT_THAT(Damage(folder, ref), HasSubstr("/part-00000-of-00002.safetensors is "))
        << "bit flip in byte " << at;
    WriteAll(part, content);
  }
}

TEST(CheckpointTest, MissingPartAndMissingManifestAreNamed) {
  ScratchFolder folder;
  const api::CheckpointRef ref = WriteCheckpoint(folder.path(), SmallState(), 100, 3, 2);
  std::filesystem::remove(folder / kFolder + "/part-00001-of-00002.safetensors");
  EXPECT_THAT(Damage(folder, ref), HasSubstr("/part-00001-of-00002.safetensors is missing"));
  std::filesystem::remove(folder / kFolder + "/manifest.json");
  EXPECT_THAT(Damage(folder, ref), HasSubstr("/manifest.json is missing"));
}

TEST(CheckpointTest, AManifestThatTheRecordDoesNotNameIsNotBelieved) {
  ScratchFolder folder;
  api::CheckpointRef ref = WriteCheckpoint(folder.path(), SmallState(), 100, 3, 2);
  FlipBit(folder / kFolder + "/manifest.json", 50);
  EXPECT_THAT(Damage(folder, ref), AllOf(HasSubstr("/manifest.json is truncated or altered"),
                                         HasSubstr("the record says " + ref.digest)));
  // A whole checkpoint of another epoch under this one's name: the digest is right, the place is
  // not.
  const api::CheckpointRef other = WriteCheckpoint(folder.path(), SmallState(), 100, 4, 2);
  std::filesystem::remove_all(folder / kFolder);
  std::filesystem::rename(folder / "step-00000100-e4", folder / kFolder);
  ref.digest = other.digest;
  EXPECT_THAT(Damage(folder, ref), HasSubstr("another checkpoint: step 100, epoch 4"));
}

TEST(CheckpointTest, AnotherModelIsRefusedAndIsNoDamage) {
  ScratchFolder folder;
  const api::CheckpointRef ref = WriteCheckpoint(folder.path(), SmallState(), 100, 3, 2);
  std::vector<float> other(24);
  const auto loaded = LoadCheckpoint(folder.path(), ref, {other, other, other});
  EXPECT_TRUE(absl::IsFailedPrecondition(loaded.status()));
  EXPECT_THAT(base::Message(loaded.status()),
              AllOf(HasSubstr("has 23 parameters"), HasSubstr("model has 24")));
}

TEST(WriteManifestTest, RefusesPartsThatAreNotThereOrNotAll) {
  ScratchFolder folder;
  const SmallState state;
  WriteCheckpoint(folder.path(), state, 100, 3, 1);
  std::filesystem::remove(folder / kFolder + "/manifest.json");
  const auto part = WritePart(folder.path(), {.step = base::Step(100),
                                              .epoch = base::Epoch(3),
                                              .parameters = 23,
                                              .weights = state.weights,
                                              .adam_m = state.m,
                                              .adam_v = state.v});
  ASSERT_TRUE(part.ok()) << part.status();
  const auto refused = [&](const std::vector<std::string>& parts) {
    return base::Message(WriteManifest(folder.path(), SmallHeader(100, 3), parts, false,
                                       SmallLayout(), api::ProgramSpec())
                             .status());
  };
  EXPECT_THAT(refused({}), HasSubstr("end at element 0 of 23"));
  EXPECT_THAT(refused({*part, *part}), HasSubstr("begins at element 0"));
  EXPECT_THAT(refused({"no json"}), HasSubstr("the part 'no json'"));
  const std::string file = folder / kFolder + "/part-00000-of-00001.safetensors";
  const std::string content = ReadAll(file);
  WriteAll(file, content.substr(1));
  EXPECT_THAT(refused({*part}), HasSubstr("its member wrote"));
  std::filesystem::remove(file);
  EXPECT_THAT(refused({*part}), HasSubstr("must be one that all members share"));
  EXPECT_THAT(folder.List(kFolder), IsEmpty());
}

}  // namespace
}  // namespace muster::checkpoint

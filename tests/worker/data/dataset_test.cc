// What a data set serves, and the sentence for each thing that may be wrong with one.
#include "worker/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/worker/data/token_files.h"
#include "worker/data/corpus_files.h"

namespace muster::data {
namespace {

using api::DataFormat;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::unique_ptr<Dataset> MustOpen(const std::string& path, DataFormat format,
                                  std::int32_t sample_tokens, std::int32_t vocabulary = 65536) {
  auto dataset = Dataset::Open({.path = path, .format = format}, sample_tokens, vocabulary);
  EXPECT_TRUE(dataset.ok()) << dataset.status();
  return dataset.ok() ? std::move(*dataset) : nullptr;
}

std::string Refusal(const std::string& path, DataFormat format, std::int32_t sample_tokens = 4,
                    std::int32_t vocabulary = 256) {
  auto dataset = Dataset::Open({.path = path, .format = format}, sample_tokens, vocabulary);
  EXPECT_FALSE(dataset.ok()) << path << " was accepted";
  return base::Message(dataset.status());
}

std::vector<std::int32_t> ReadSample(const Dataset& dataset, std::uint64_t id) {
  std::vector<std::int32_t> row(static_cast<std::size_t>(dataset.sample_tokens()));
  dataset.Read(id, row);
  return row;
}

std::vector<std::uint16_t> Counting(int count, int first = 0) {
  std::vector<std::uint16_t> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back(static_cast<std::uint16_t>(first + i));
  return tokens;
}

std::string Letters(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += static_cast<char>('a' + i % 26);
  return text;
}

TEST(DatasetTest, TextIsSplitIntoWindowsAndAHeldOutTenth) {
  ScratchFolder folder;
  const std::string path = folder.Write("text", Letters(105));
  const auto data = MustOpen(path, DataFormat::kText, 4);
  EXPECT_EQ(data->tokens(), 105);
  EXPECT_EQ(data->training_tokens(), 95);
  EXPECT_EQ(data->samples(), 92);
  EXPECT_THAT(ReadSample(*data, 0), ElementsAre('a', 'b', 'c', 'd'));
  EXPECT_THAT(ReadSample(*data, 91), ElementsAre('n', 'o', 'p', 'q'));  // bytes 91 to 94
  // Held out: bytes 95 to 104, rows of 4 that share their border byte; the last byte's row is
  // partial.
  EXPECT_EQ(data->held_out_rows(), 3);
  std::vector<std::int32_t> row(4);
  data->ReadHeldOut(0, row);
  EXPECT_THAT(row, ElementsAre('r', 's', 't', 'u'));
  data->ReadHeldOut(2, row);
  EXPECT_THAT(row, ElementsAre('x', 'y', 'z', 'a'));
}

TEST(DatasetTest, FilesAreJoinedInByteOrderOfTheRelativeNameEachOnceWithoutDotfiles) {
  ScratchFolder folder;
  folder.Write("b", "bb");
  folder.Write("a/x", "ax");
  folder.Write("a.txt", "a.");  // '.' comes before '/': byte order, not order by component
  folder.Write("Z", "ZZ");
  folder.Write("\xc3\xa9", "ee");
  folder.Write(".hidden", "no");
  folder.Write(".git/x", "no");
  folder.Link("b", "again");  // the same file by a name that sorts first
  folder.Link("..", "a/up");  // a circle
  const auto files = ListTextFiles(folder.path());
  ASSERT_TRUE(files.ok()) << files.status();
  std::vector<std::string> names;
  for (const CorpusFile& file : *files) names.push_back(file.name);
  EXPECT_THAT(names, ElementsAre("Z", "a.txt", "a/x", "again", "\xc3\xa9"));
}

// Twelve folders with links to each other have some 10^9 paths between them.
TEST(DatasetTest, FoldersThatLinkToEachOtherAreEnteredOnce) {
  ScratchFolder folder;
  constexpr int kFolders = 12;
  const auto name = [](int i) { return std::string(1, static_cast<char>('a' + i)); };
  for (int i = 0; i < kFolders; ++i) {
    folder.Write(name(i) + "/file", name(i));
    for (int j = 0; j < kFolders; ++j) {
      if (i != j) folder.Link("../" + name(j), name(i) + "/to-" + name(j));
    }
  }
  const auto files = ListTextFiles(folder.path());
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), 12u);
  EXPECT_EQ((*files)[0].name, "a/file");
  // Of its many names the first in byte order, which goes through all folders before it.
  EXPECT_EQ((*files)[2].name, "a/to-b/to-c/file");
}

TEST(DatasetTest, ALinkedFolderOutsideIsFollowed) {
  ScratchFolder outside;
  outside.Write("one", Letters(30));
  ScratchFolder folder;
  folder.Link(outside.path(), "linked");
  EXPECT_EQ(MustOpen(folder.path(), DataFormat::kText, 3)->tokens(), 30);
}

TEST(DatasetTest, ASampleMayCrossFiles) {
  ScratchFolder folder;
  folder.Write("1.bin", Tokens16(Counting(5)));
  folder.Write("2.bin", "");
  folder.Write("3.bin", Tokens16(Counting(40, 5)));
  folder.Write("notes.txt", "no tokens");
  const auto data = MustOpen(folder.path(), DataFormat::kTokens16, 4);
  EXPECT_EQ(data->tokens(), 45);
  EXPECT_THAT(ReadSample(*data, 3), ElementsAre(3, 4, 5, 6));
}

TEST(DatasetTest, LlmcTokensBeginAfterTheHeader) {
  ScratchFolder folder;
  const std::string path = folder.Write("train.bin", Llmc(Counting(60, 1000), 60));
  const auto data = MustOpen(path, DataFormat::kLlmc, 5, 1060);
  EXPECT_EQ(data->training_tokens(), 54);
  EXPECT_THAT(ReadSample(*data, 0), ElementsAre(1000, 1001, 1002, 1003, 1004));
  std::vector<std::int32_t> row(5);
  EXPECT_EQ(data->held_out_rows(), 1);
  data->ReadHeldOut(0, row);
  EXPECT_THAT(row, ElementsAre(1054, 1055, 1056, 1057, 1058));
}

TEST(DatasetTest, TheDigestNamesContentNamesAndShapeButNotThePlace) {
  ScratchFolder one, two;
  one.Write("a", Letters(100));
  two.Write("a", Letters(100));
  const std::string digest = MustOpen(one.path(), DataFormat::kText, 4)->digest();
  EXPECT_EQ(digest.size(), 64u);
  EXPECT_EQ(digest, MustOpen(two.path(), DataFormat::kText, 4)->digest());
  EXPECT_NE(digest, MustOpen(one.path(), DataFormat::kText, 5)->digest());
  EXPECT_NE(digest, MustOpen(one / "a", DataFormat::kTokens16, 4)->digest());
  two.Write("a", Letters(99) + "!");
  EXPECT_NE(digest, MustOpen(two.path(), DataFormat::kText, 4)->digest());
  ScratchFolder renamed;
  renamed.Write("b", Letters(100));
  EXPECT_NE(digest, MustOpen(renamed.path(), DataFormat::kText, 4)->digest());
}

TEST(DatasetTest, AProgramWithoutTokensHasSampleIdsAndEmptyRows) {
  const auto data = Dataset::WithoutTokens();
  data->Read(static_cast<std::uint64_t>(data->samples() - 1), {});
  EXPECT_EQ(data->held_out_rows(), 0);
  EXPECT_EQ(data->digest().size(), 64u);
}

TEST(DatasetErrorTest, MissingPath) {
  ScratchFolder folder;
  EXPECT_THAT(Refusal(folder / "nowhere", DataFormat::kText),
              AllOf(HasSubstr("/nowhere: No such file"), HasSubstr("must lead to")));
  EXPECT_THAT(Refusal(folder / "nowhere.bin", DataFormat::kLlmc),
              HasSubstr("/nowhere.bin: No such"));
}

TEST(DatasetErrorTest, DanglingLinkIsNamed) {
  ScratchFolder folder;
  folder.Write("a", Letters(100));
  folder.Link("gone", "link");
  EXPECT_THAT(Refusal(folder.path(), DataFormat::kText), HasSubstr("/link: No such file"));
}

TEST(DatasetErrorTest, UnreadableFileIsNamed) {
  ScratchFolder folder;
  folder.Write("a", Letters(100));
  const std::string secret = folder.Write("secret", Letters(100));
  ASSERT_EQ(chmod(folder.path().c_str(), 0755), 0);
  ASSERT_EQ(chmod(secret.c_str(), 0), 0);
  // Root reads everything; as another file system user this thread does not.
  const int before = setfsuid(geteuid() == 0 ? 65534 : geteuid());
  const std::string refusal = Refusal(folder.path(), DataFormat::kText);
  setfsuid(static_cast<uid_t>(before));
  EXPECT_THAT(refusal, AllOf(HasSubstr("cannot read"), HasSubstr("/secret: Permission denied"),
                             HasSubstr("must be readable")));
}

TEST(DatasetErrorTest, NotARegularFile) {
  ScratchFolder folder;
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(Refusal(folder / "pipe", DataFormat::kText),
              HasSubstr("/pipe is neither a regular file nor a folder"));
  EXPECT_THAT(Refusal("/dev/null", DataFormat::kTokens16), HasSubstr("neither a regular file"));
  ASSERT_EQ(mkfifo((folder / "a.bin").c_str(), 0600), 0);
  EXPECT_THAT(Refusal(folder.path(), DataFormat::kTokens16),
              HasSubstr("/a.bin is not a regular file"));
  EXPECT_THAT(base::Message(MappedFile::Open(folder / "pipe").status()),
              HasSubstr("/pipe is not a regular file"));
}

TEST(DatasetErrorTest, EmptyFolderAndEmptyFiles) {
  ScratchFolder folder;
  EXPECT_THAT(Refusal(folder.path(), DataFormat::kText), HasSubstr("holds no regular file"));
  EXPECT_THAT(Refusal(folder.path(), DataFormat::kLlmc), HasSubstr("needs at least one *.bin"));
  folder.Write("empty.bin", "");
  EXPECT_THAT(Refusal(folder.path(), DataFormat::kText), HasSubstr("is empty: 1 files, 0 bytes"));
  EXPECT_THAT(Refusal(folder.path(), DataFormat::kTokens16),
              HasSubstr("is empty: 1 files, 0 tokens"));
  EXPECT_THAT(Refusal(folder.path(), DataFormat::kLlmc), HasSubstr("begins with a header of 1024"));
}

TEST(DatasetErrorTest, ShorterThanOneSequence) {
  ScratchFolder folder;
  const std::string path = folder.Write("short", Letters(39));
  EXPECT_THAT(Refusal(path, DataFormat::kText, 4),
              AllOf(HasSubstr("/short has 39 bytes, too short for sequences of 4"),
                    HasSubstr("at least 40 bytes are needed")));
  folder.Write("short", Letters(40));
  EXPECT_EQ(MustOpen(path, DataFormat::kText, 4)->held_out_rows(), 1);
}

TEST(DatasetErrorTest, WrongMagicVersionAndLength) {
  ScratchFolder folder;
  const auto tokens = Counting(60);
  EXPECT_THAT(Refusal(folder.Write("m.bin", Llmc(tokens, 60, 20240519)), DataFormat::kLlmc),
              AllOf(HasSubstr("/m.bin has the magic number 20240519"), HasSubstr("20240520")));
  EXPECT_THAT(Refusal(folder.Write("v.bin", Llmc(tokens, 60, 20240520, 2)), DataFormat::kLlmc),
              AllOf(HasSubstr("/v.bin has llmc version 2"), HasSubstr("only version 1")));
  EXPECT_THAT(Refusal(folder.Write("l.bin", Llmc(tokens, 61)), DataFormat::kLlmc),
              AllOf(HasSubstr("/l.bin has 120 bytes of tokens"), HasSubstr("says 61 tokens")));
  EXPECT_THAT(Refusal(folder.Write("n.bin", Llmc(tokens, -60)), DataFormat::kLlmc),
              HasSubstr("says -60 tokens"));
}

TEST(DatasetErrorTest, OddSize) {
  ScratchFolder folder;
  EXPECT_THAT(Refusal(folder.Write("odd.bin", Tokens16(Counting(60)) + "x"), DataFormat::kTokens16),
              AllOf(HasSubstr("/odd.bin has an odd number of bytes (121)"), HasSubstr("2 bytes")));
}

TEST(DatasetErrorTest, TokenBeyondTheVocabulary) {
  ScratchFolder folder;
  std::vector<std::uint16_t> tokens = Counting(60);
  tokens[41] = 300;
  folder.Write("a.bin", Tokens16(Counting(60)));
  folder.Write("b.bin", Tokens16(tokens));
  EXPECT_THAT(Refusal(folder.path(), DataFormat::kTokens16, 4, 300),
              AllOf(HasSubstr("b.bin has token 300 at position 41"), HasSubstr("vocabulary is 300"),
                    HasSubstr("from 0 to 299")));
  EXPECT_NE(MustOpen(folder.path(), DataFormat::kTokens16, 4, 301), nullptr);
  EXPECT_THAT(Refusal(folder.Write("text", Letters(100)), DataFormat::kText, 4, 100),
              HasSubstr("text has token 100 at position 3"));
}

TEST(DatasetErrorTest, ASampleNeedsTwoTokens) {
  ScratchFolder folder;
  EXPECT_THAT(Refusal(folder.Write("a", Letters(100)), DataFormat::kText, 1),
              HasSubstr("at least 2 (context + 1)"));
}

}  // namespace
}  // namespace muster::data

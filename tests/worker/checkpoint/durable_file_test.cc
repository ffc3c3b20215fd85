// A file appears whole or not at all, and a full disk is said to be one.
#include "worker/checkpoint/durable_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <cerrno>

#include "tests/worker/checkpoint/small_state.h"

namespace muster::checkpoint {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Lets no file of this process grow beyond `bytes`: what a full disk looks like without a disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_;
};

TEST(DurableFileTest, AppearsOnlyWhenCommitted) {
  ScratchFolder folder;
  auto file = DurableFile::Create(folder / "a");
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->Write(std::as_bytes(std::span("abc", 3))).ok());
  EXPECT_FALSE(std::filesystem::exists(folder / "a"));
  const auto digest = (*file)->Commit();
  ASSERT_TRUE(digest.ok()) << digest.status();
  EXPECT_EQ(digest->bytes, 3);
  EXPECT_EQ(digest->sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(ReadAll(folder / "a"), "abc");
  EXPECT_THAT(folder.List(), ElementsAre("a"));
}

TEST(DurableFileTest, LeavesNothingBehindWhenAbandoned) {
  ScratchFolder folder;
  {
    auto file = DurableFile::Create(folder / "a");
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(folder.List().size(), 1u);
  }
  EXPECT_THAT(folder.List(), IsEmpty());
}

TEST(DurableFileTest, AFailedRewriteKeepsWhatWasThere) {
  ScratchFolder folder;
  WriteAll(folder / "a", "old");
  {
    FileSizeLimit limit(10);
    const auto written = WriteDurably(folder / "a", std::string(100, 'x'));
    EXPECT_TRUE(absl::IsResourceExhausted(written.status()));
    EXPECT_THAT(base::Message(written.status()),
                AllOf(HasSubstr("No space left"), HasSubstr(folder / "a")));
  }
  EXPECT_EQ(ReadAll(folder / "a"), "old");
  EXPECT_THAT(folder.List(), ElementsAre("a"));
}

TEST(DurableFileTest, APartThatDoesNotFitSaysSoAndIsRemoved) {
  ScratchFolder folder;
  const std::vector<float> values(100000);
  {
    FileSizeLimit limit(65536);
    const auto part = WritePart(folder.path(), {.step = base::Step(1),
                                                .epoch = base::Epoch(1),
                                                .parameters = 100000,
                                                .weights = values,
                                                .adam_m = values,
                                                .adam_v = values});
    EXPECT_TRUE(absl::IsResourceExhausted(part.status()));
    EXPECT_THAT(base::Message(part.status()), HasSubstr("No space left for the checkpoint"));
  }
  EXPECT_THAT(folder.List("step-00000001-e1"), IsEmpty());
}

TEST(DurableFileTest, OnlyAFullDiskIsCalledFull) {
  for (int error : {ENOSPC, EDQUOT, EFBIG}) {
    const absl::Status status = WriteError("write", "/d/f", error);
    EXPECT_TRUE(absl::IsResourceExhausted(status));
    EXPECT_THAT(base::Message(status), AllOf(HasSubstr("No space left"), HasSubstr("write /d/f")));
  }
  const absl::Status status = WriteError("write", "/d/f", EIO);
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(base::Message(status), AllOf(HasSubstr("cannot write /d/f"), HasSubstr("errno 5")));
}

TEST(DurableFileTest, AMissingFolderIsNamed) {
  ScratchFolder folder;
  const auto written = WriteDurably(folder / "none/a", "x");
  EXPECT_THAT(base::Message(written.status()),
              HasSubstr("cannot create " + folder.path() + "/none/a"));
}

TEST(DurableFileTest, TwoWritersOfOneFileDoNotMeet) {
  ScratchFolder folder;
  auto first = DurableFile::Create(folder / "a");
  auto second = DurableFile::Create(folder / "a");
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_TRUE((*first)->Write(std::as_bytes(std::span("first", 5))).ok());
  ASSERT_TRUE((*second)->Write(std::as_bytes(std::span("2nd", 3))).ok());
  EXPECT_TRUE((*first)->Commit().ok());
  EXPECT_EQ(ReadAll(folder / "a"), "first");
  EXPECT_TRUE((*second)->Commit().ok());
  EXPECT_EQ(ReadAll(folder / "a"), "2nd");
  EXPECT_EQ(std::filesystem::status(folder / "a").permissions(), std::filesystem::perms(0644));
  EXPECT_THAT(folder.List(), ElementsAre("a"));
}

TEST(MakeFolderTest, MakesAllAboveItAndAcceptsWhatIsThere) {
  ScratchFolder folder;
  EXPECT_TRUE(MakeFolder(folder / "a/b/c").ok());
  EXPECT_TRUE(MakeFolder(folder / "a/b/c").ok());
  WriteAll(folder / "file", "x");
  EXPECT_THAT(base::Message(MakeFolder(folder / "file")), HasSubstr("/file: File exists"));
}

}  // namespace
}  // namespace muster::checkpoint

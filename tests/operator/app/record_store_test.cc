// The record on one machine: a compare-and-swap made of link(2).
#include "operator/app/record_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "operator/app/persister.h"
#include "tests/operator/local/scratch.h"

namespace muster::app {
namespace {

using api::PersistOutcome;
using api::Record;

Record Version(std::uint64_t version, std::uint64_t nonce = 0) {
  Record record;
  record.version = version;
  record.nonce = nonce;
  record.term = base::Term(1);
  record.newest = {base::Epoch(version), {{0, 1}, {3, 2}}};
  return record;
}

class RecordStoreTest : public testing::Test {
 protected:
  std::unique_ptr<FileRecordStore> Open() { return *FileRecordStore::Open(scratch_.path()); }
  std::size_t Files() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(scratch_.path()), {}));
  }
  local::Scratch scratch_;
  std::optional<Record> current_;
};

TEST_F(RecordStoreTest, StartsEmptyAndReadsBackWhatWasPersisted) {
  auto store = Open();
  EXPECT_EQ(*store->Read(), std::nullopt);
  EXPECT_EQ(store->Persist(std::nullopt, Version(1), &current_), PersistOutcome::kOk);
  EXPECT_EQ(store->Persist(Version(1), Version(2), &current_), PersistOutcome::kOk);
  EXPECT_EQ(*Open()->Read(), Version(2));
}

TEST_F(RecordStoreTest, TheSecondOfTwoWritersIsToldWhatTheFirstWrote) {
  auto first = Open();
  auto second = Open();
  EXPECT_EQ(first->Persist(std::nullopt, Version(1, 7), &current_), PersistOutcome::kOk);
  EXPECT_EQ(second->Persist(std::nullopt, Version(1, 8), &current_), PersistOutcome::kConflict);
  EXPECT_EQ(current_, Version(1, 7));
  EXPECT_EQ(*first->Read(), Version(1, 7));
}

TEST_F(RecordStoreTest, ARetryOfAWriteThatHasLandedIsTheSameWrite) {
  auto store = Open();
  EXPECT_EQ(store->Persist(std::nullopt, Version(1, 7), &current_), PersistOutcome::kOk);
  EXPECT_EQ(store->Persist(std::nullopt, Version(1, 7), &current_), PersistOutcome::kOk);
  EXPECT_EQ(store->Persist(std::nullopt, Version(1, 9), &current_), PersistOutcome::kConflict);
}

TEST_F(RecordStoreTest, AVersionMustGrow) {
  auto store = Open();
  ASSERT_EQ(store->Persist(std::nullopt, Version(5), &current_), PersistOutcome::kOk);
  EXPECT_EQ(store->Persist(Version(5), Version(5, 1), &current_), PersistOutcome::kConflict);
  EXPECT_EQ(*store->Read(), Version(5));
}

TEST_F(RecordStoreTest, KeepsTheNewestFewVersions) {
  auto store = Open();
  std::optional<Record> before;
  for (std::uint64_t v = 1; v <= 20; ++v) {
    ASSERT_EQ(store->Persist(before, Version(v), &current_), PersistOutcome::kOk);
    before = Version(v);
  }
  EXPECT_EQ(Files(), FileRecordStore::kKept + 1);
  // A writer that slept since version 3 finds its name free again, and still conflicts.
  EXPECT_EQ(store->Persist(Version(3), Version(4, 99), &current_), PersistOutcome::kConflict);
  EXPECT_EQ(*store->Read(), Version(20));
}

TEST_F(RecordStoreTest, WhatACrashLeftIsRemovedAndNeverRead) {
  ASSERT_EQ(Open()->Persist(std::nullopt, Version(1), &current_), PersistOutcome::kOk);
  std::ofstream(scratch_.path() + "/2.json.new.4711") << "{\"half";
  std::ofstream(scratch_.path() + "/note.txt") << "somebody's";
  auto store = Open();
  EXPECT_EQ(*store->Read(), Version(1));
  EXPECT_EQ(Files(), 2u);
  EXPECT_EQ(store->Persist(Version(1), Version(2), &current_), PersistOutcome::kOk);
}

TEST_F(RecordStoreTest, ADamagedRecordIsNamedAndNotOverwritten) {
  std::ofstream(scratch_.path() + "/3.json") << "{\"half";
  auto store = Open();
  auto read = store->Read();
  ASSERT_FALSE(read.ok());
  EXPECT_THAT(base::Message(read.status()), testing::HasSubstr("/3.json"));
  EXPECT_EQ(store->Persist(std::nullopt, Version(4), &current_), PersistOutcome::kUnknown);
}

TEST_F(RecordStoreTest, AFolderThatIsGoneIsUnknown) {
  auto store = Open();
  std::filesystem::remove_all(scratch_.path());
  EXPECT_EQ(store->Persist(std::nullopt, Version(1), &current_), PersistOutcome::kUnknown);
  EXPECT_FALSE(FileRecordStore::Open(scratch_.path()).ok());
}

TEST_F(RecordStoreTest, AFolderThatCannotBeListedIsNotAnEmptyOne) {
  auto store = Open();
  ASSERT_EQ(store->Persist(std::nullopt, Version(1), &current_), PersistOutcome::kOk);
  std::filesystem::remove_all(scratch_.path());
  auto read = store->Read();
  ASSERT_FALSE(read.ok()) << "a job without a record would begin anew";
  EXPECT_THAT(base::Message(read.status()), testing::HasSubstr(scratch_.path()));
}

TEST_F(RecordStoreTest, OfManyThatRaceExactlyOneWins) {
  std::atomic<int> won{0};
  std::vector<std::jthread> writers;
  for (std::uint64_t i = 0; i < 4; ++i) {
    writers.emplace_back([&, i] {
      auto store = Open();
      std::optional<Record> current;
      // A second writer may remove the first's temporary on opening; that is Unknown, and tried
      // again.
      PersistOutcome outcome = PersistOutcome::kUnknown;
      while (outcome == PersistOutcome::kUnknown) {
        outcome = store->Persist(std::nullopt, Version(1, i + 1), &current);
      }
      if (outcome == PersistOutcome::kOk) ++won;
    });
  }
  writers.clear();
  EXPECT_EQ(won, 1);
}

TEST_F(RecordStoreTest, ThePersisterAnswersEachInOrder) {
  std::vector<PersistOutcome> answers;
  {
    Persister persister(Open(), [&](membership::Persisted p) { answers.push_back(p.outcome); });
    persister.Begin({std::nullopt, Version(1)});
    persister.Begin({Version(1), Version(2)});
    persister.Begin({Version(1), Version(2, 5)});
  }
  EXPECT_EQ(answers, (std::vector<PersistOutcome>{PersistOutcome::kOk, PersistOutcome::kOk,
                                                  PersistOutcome::kConflict}));
}

}  // namespace
}  // namespace muster::app

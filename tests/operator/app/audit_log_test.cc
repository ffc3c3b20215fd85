// The audit file: each committed step once, whatever coordinators come and go.
#include "operator/app/audit_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/operator/local/scratch.h"

namespace muster::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class AuditLogTest : public testing::Test {
 protected:
  std::unique_ptr<AuditLog> Open() {
    auto log = AuditLog::Open(path());
    EXPECT_TRUE(log.ok()) << base::Message(log.status());
    return std::move(*log);
  }
  std::string path() const { return scratch_.path() + "/audit.jsonl"; }
  std::vector<std::string> Lines() const {
    std::ifstream file(path());
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
  static membership::StepCommitted Step(std::int64_t number) {
    membership::StepCommitted step;
    step.step = base::Step(number);
    step.epoch = base::Epoch(2);
    step.audit = {{{1, 0}, {{1, {7, 8}}}}, {{0, 0}, {{0, {5, 6}}}}};
    return step;
  }
  static base::WallTime Now() { return base::WallTime(std::chrono::seconds(1)); }

  local::Scratch scratch_;
};

TEST_F(AuditLogTest, WritesOneLineAStepWithItsSlotsInOrder) {
  auto log = Open();
  ASSERT_TRUE(log->Append(Step(1), Now()).ok());
  ASSERT_TRUE(log->Append(Step(1), Now()).ok());
  EXPECT_THAT(Lines(), ElementsAre(R"({"step":1,"time":"1970-01-01T00:00:01Z","epoch":2,"slots":[)"
                                   R"({"member":"0.0","samples":[5,6],"slot":0},)"
                                   R"({"member":"1.0","samples":[7,8],"slot":1}]})"));
}

TEST_F(AuditLogTest, ASuccessorGoesOnAfterTheLastWholeLine) {
  ASSERT_TRUE(Open()->Append(Step(1), Now()).ok());
  ASSERT_TRUE(Open()->Append(Step(2), Now()).ok());
  std::ofstream(path(), std::ios::app) << R"({"step":3,"time)";
  auto log = Open();
  EXPECT_EQ(log->last(), base::Step(2));
  ASSERT_TRUE(log->Append(Step(2), Now()).ok());
  ASSERT_TRUE(log->Append(Step(3), Now()).ok());
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[2], HasSubstr("\"step\":3,"));
}

TEST_F(AuditLogTest, WhoeverWasFrozenWhileASuccessorWroteWritesNoMore) {
  auto frozen = Open();
  ASSERT_TRUE(frozen->Append(Step(1), Now()).ok());
  auto successor = Open();
  ASSERT_TRUE(successor->Append(Step(2), Now()).ok());
  EXPECT_TRUE(absl::IsAborted(frozen->Append(Step(2), Now())));
  EXPECT_TRUE(absl::IsAborted(frozen->RollBack(base::Step(0))));
  ASSERT_TRUE(successor->Append(Step(3), Now()).ok());
  EXPECT_EQ(Lines().size(), 3u);
}

// The one that was frozen was quicker: the successor opens the file anew and finds its line.
TEST_F(AuditLogTest, ASuccessorWhomTheFrozenOneForestalledOpensTheFileAnew) {
  auto frozen = Open();
  ASSERT_TRUE(frozen->Append(Step(1), Now()).ok());
  auto successor = Open();
  ASSERT_TRUE(frozen->Append(Step(2), Now()).ok());
  EXPECT_TRUE(absl::IsAborted(successor->Append(Step(2), Now())));
  successor = Open();
  ASSERT_TRUE(successor->Append(Step(2), Now()).ok());
  ASSERT_TRUE(successor->Append(Step(3), Now()).ok());
  EXPECT_EQ(Lines().size(), 3u);
}

TEST_F(AuditLogTest, AFileThatSomebodyEmptiedIsWrittenOn) {
  auto log = Open();
  ASSERT_TRUE(log->Append(Step(1), Now()).ok());
  std::filesystem::resize_file(path(), 0);
  ASSERT_TRUE(log->Append(Step(2), Now()).ok());
  ASSERT_TRUE(log->Append(Step(3), Now()).ok());
  EXPECT_EQ(Lines().size(), 2u);
}

TEST_F(AuditLogTest, ARollBackIsALineAndItsStepsComeAgain) {
  auto log = Open();
  for (int i = 1; i <= 3; ++i) ASSERT_TRUE(log->Append(Step(i), Now()).ok());
  ASSERT_TRUE(log->RollBack(base::Step(1)).ok());
  ASSERT_TRUE(log->RollBack(base::Step(1)).ok());  // said twice, written once
  EXPECT_EQ(Open()->last(), base::Step(1));
  ASSERT_TRUE(log->Append(Step(2), Now()).ok());
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[3], R"({"rollback":1})");
  EXPECT_THAT(lines[4], HasSubstr("\"step\":2,"));
}

TEST_F(AuditLogTest, ALongLastLineIsFound) {
  membership::StepCommitted step = Step(1);
  step.audit[0].slots[0].samples.assign(100000, 123456);
  ASSERT_TRUE(Open()->Append(step, Now()).ok());
  EXPECT_EQ(Open()->last(), base::Step(1));
}

TEST_F(AuditLogTest, RefusesAFileOfSomethingElseAndAPlaceThatCannotBeWritten) {
  std::ofstream(path()) << "dear diary\n";
  EXPECT_THAT(base::Message(AuditLog::Open(path()).status()), HasSubstr("holds something else"));
  EXPECT_THAT(base::Message(AuditLog::Open(scratch_.path() + "/absent/a").status()),
              HasSubstr("/absent/a"));
}

// A --audit that names the wrong file is a slip of the pen; it once emptied that file, or cut its
// last line.
TEST_F(AuditLogTest, AFileOfSomethingElseIsLeftAsItIs) {
  for (const std::string content : {"no newline at all", "dear diary\nnot finished", "{\"a\":1}\n",
                                    "{\"step\":1}\nand a remark"}) {
    std::ofstream(path(), std::ios::trunc) << content;
    EXPECT_FALSE(AuditLog::Open(path()).ok()) << content;
    std::ifstream file(path());
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), content);
  }
}

TEST_F(AuditLogTest, AFirstLineThatACrashCutShortIsRemoved) {
  for (const std::string content : {"{", "{\"step", "{\"step\":1,\"time\":"}) {
    std::ofstream(path(), std::ios::trunc) << content;
    EXPECT_EQ(Open()->last(), base::Step());
    EXPECT_THAT(Lines(), testing::IsEmpty());
  }
}

}  // namespace
}  // namespace muster::app

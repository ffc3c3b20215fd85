// Which weights a fresh state begins with, and when the file is needed.
#include "worker/app/start_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/worker/scratch_folder.h"
#include "worker/checkpoint/safetensors.h"
#include "worker/data/dataset.h"
#include "worker/train/host_engine.h"

namespace muster::app {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class StartWeightsTest : public testing::Test {
 protected:
  StartWeightsTest() {
    program_.builtin = api::Builtin::kGpt;
    program_.config = {.layers = 1, .heads = 2, .width = 8, .context = 4, .vocabulary = 8};
    train::TrainerOptions options;
    options.spec.program = program_;
    options.engine =
        train::MakeHostEngine(options.spec, *model::MakeProgram(program_, 1), "scalar");
    options.dataset = dataset_.get();
    trainer_ = std::make_unique<train::Trainer>(std::move(options));
    program_.weights.path = folder_.path();
  }
  std::string file() const { return folder_ / "model.safetensors"; }
  void WriteFile(float shift) {
    std::vector<checkpoint::FloatTensor> tensors;
    for (const auto& tensor : trainer_->layout().tensors) {
      tensors.push_back({tensor.name, tensor.shape});
    }
    auto writer = checkpoint::SafetensorsWriter::Create(file(), tensors, {});
    ASSERT_TRUE(writer.ok());
    std::vector<float> values(static_cast<std::size_t>(trainer_->layout().parameters));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = shift + static_cast<float>(i);
    ASSERT_TRUE((*writer)->Append(values).ok());
    ASSERT_TRUE((*writer)->Finish().ok());
  }
  // What a step would do.
  void Spoil() { std::ranges::fill(trainer_->engine().OpenState()[0], 5.0f); }

  ScratchFolder folder_;
  std::unique_ptr<data::Dataset> dataset_ = data::Dataset::WithoutTokens();
  api::ProgramSpec program_;
  std::unique_ptr<train::Trainer> trainer_;
  OpenFailure failure_;
};

TEST_F(StartWeightsTest, WithoutAFileTheSeedDecides) {
  program_.weights.path.clear();
  StartWeights start(program_, "");
  EXPECT_TRUE(start.Agree(*trainer_, nullptr, failure_));
  EXPECT_EQ(start.told(), "");
  EXPECT_EQ(start.MakeFresh(*trainer_, nullptr, failure_), trainer_->MakeFresh());
}

TEST_F(StartWeightsTest, TheFirstReadItBeforeTheyAreWarmAndNotAgainToBegin) {
  WriteFile(1);
  StartWeights start(program_, "");
  std::atomic<std::uint64_t> progress = 0;
  trainer_->engine().OpenState()[1][3] = 9;
  ASSERT_TRUE(start.Agree(*trainer_, &progress, failure_)) << failure_.message;
  EXPECT_EQ(start.told().size(), 64u);
  EXPECT_EQ(progress.load(), static_cast<std::uint64_t>(trainer_->layout().parameters));
  std::filesystem::remove(file());
  ASSERT_TRUE(start.MakeFresh(*trainer_, nullptr, failure_)) << failure_.message;
  EXPECT_EQ(trainer_->engine().OpenState()[0][7], 8.0f);
  EXPECT_EQ(trainer_->engine().OpenState()[1][3], 0.0f);
}

TEST_F(StartWeightsTest, WhoMakesItASecondTimeReadsItAgain) {
  WriteFile(1);
  StartWeights start(program_, "");
  ASSERT_TRUE(start.Agree(*trainer_, nullptr, failure_));
  const auto first = start.MakeFresh(*trainer_, nullptr, failure_);
  Spoil();
  EXPECT_EQ(start.MakeFresh(*trainer_, nullptr, failure_), first);
  EXPECT_EQ(trainer_->engine().OpenState()[0][7], 8.0f);
  Spoil();
  start.Overwritten();
  EXPECT_EQ(start.MakeFresh(*trainer_, nullptr, failure_), first);
  // It is no longer what the job has begun with.
  WriteFile(2);
  EXPECT_FALSE(start.MakeFresh(*trainer_, nullptr, failure_));
  EXPECT_EQ(failure_.code, api::ExitCode::kRefused);
  EXPECT_EQ(failure_.reason, "Refused");
  EXPECT_THAT(failure_.message, AllOf(HasSubstr(folder_.path()), HasSubstr(start.told())));
}

TEST_F(StartWeightsTest, AfterAReceivedStateTheFirstReadingDoesNotCount) {
  WriteFile(1);
  StartWeights start(program_, "");
  ASSERT_TRUE(start.Agree(*trainer_, nullptr, failure_));
  Spoil();
  start.Overwritten();
  ASSERT_TRUE(start.MakeFresh(*trainer_, nullptr, failure_));
  EXPECT_EQ(trainer_->engine().OpenState()[0][7], 8.0f);
}

TEST_F(StartWeightsTest, WhereTheJobHasBegunTheFileIsNeededOnlyToBeginAgain) {
  WriteFile(1);
  StartWeights first(program_, "");
  ASSERT_TRUE(first.Agree(*trainer_, nullptr, failure_));
  std::filesystem::remove(file());
  StartWeights later(program_, first.told());
  EXPECT_TRUE(later.Agree(*trainer_, nullptr, failure_));
  EXPECT_EQ(later.told(), "");
  EXPECT_FALSE(later.MakeFresh(*trainer_, nullptr, failure_));
  EXPECT_EQ(failure_.code, api::ExitCode::kData);
  WriteFile(1);
  EXPECT_TRUE(later.MakeFresh(*trainer_, nullptr, failure_));
  WriteFile(2);
  EXPECT_FALSE(later.MakeFresh(*trainer_, nullptr, failure_));
  EXPECT_EQ(failure_.code, api::ExitCode::kRefused);
}

TEST_F(StartWeightsTest, AFileThatDoesNotFitIsBadData) {
  folder_.Write("model.safetensors", "no such file");
  StartWeights start(program_, "");
  EXPECT_FALSE(start.Agree(*trainer_, nullptr, failure_));
  EXPECT_EQ(failure_.code, api::ExitCode::kData);
  EXPECT_EQ(failure_.reason, "BadData");
  EXPECT_THAT(failure_.message, HasSubstr("spec.program.weights.path: "));
  WriteFile(1);
  folder_.Write("config.json", R"({"n_head": 4})");
  EXPECT_FALSE(start.Agree(*trainer_, nullptr, failure_));
  EXPECT_THAT(failure_.message, HasSubstr("n_head is 4"));
}

}  // namespace
}  // namespace muster::app

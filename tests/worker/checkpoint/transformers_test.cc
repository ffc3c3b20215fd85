// Files that Hugging Face's transformers has written, and the logits that it computes from them:
// hack/gpt2_transformers.py made both (docs/testing.md has the versions).
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <fstream>

#include "tests/worker/scratch_folder.h"
#include "worker/checkpoint/pretrained.h"
#include "worker/checkpoint/safetensors.h"
#include "worker/model/gpt_slot.h"

namespace muster::checkpoint {
namespace {

struct Reference {
  std::vector<std::int32_t> tokens;
  std::vector<float> logits;  // a row for each token
};

class TransformersTest : public testing::TestWithParam<const char*> {
 protected:
  TransformersTest() {
    config_ = {.layers = 2, .heads = 4, .width = 32, .context = 8, .batch = 1, .vocabulary = 96};
    layout_ = model::MakeGptLayout(config_);
    weights_.resize(static_cast<std::size_t>(layout_.parameters));
  }

  static std::string Folder() {
    return std::string(MUSTER_SOURCE_DIR "/tests/worker/checkpoint/testdata/transformers/") +
           GetParam();
  }

  // As a job does it: a folder is named.
  std::string Load() {
    const auto file = FindPretrained(Folder());
    EXPECT_TRUE(file.ok()) << file.status();
    EXPECT_TRUE(CheckPretrainedConfig(*file, config_).ok());
    const auto identity = ReadPretrained(*file, layout_, weights_);
    EXPECT_TRUE(identity.ok()) << identity.status();
    return identity.ok() ? *identity : "";
  }

  Reference ReadReference() const {
    std::ifstream in(Folder() + "/logits.txt");
    Reference reference;
    std::string word;
    std::size_t count = 0;
    in >> word;
    reference.tokens.resize(static_cast<std::size_t>(config_.context));
    for (std::int32_t& token : reference.tokens) in >> token;
    in >> word >> count;
    for (std::size_t i = 0; i < count && in >> word; ++i) {
      reference.logits.push_back(
          std::bit_cast<float>(static_cast<std::uint32_t>(std::stoul(word, nullptr, 16))));
    }
    return reference;
  }

  std::vector<float> Logits(std::vector<std::int32_t> tokens) const {
    const model::GptShape shape{config_.layers,  config_.heads, config_.width,
                                config_.context, config_.batch, config_.vocabulary};
    model::Device device(1);
    model::GptMemory memory(shape);
    memory.Ensure();
    tokens.push_back(0);  // a target that nobody looks at
    Forward(model::GptPass{shape, layout_, device, memory, weights_, tokens, 0.0, {}}, 0.0f, 0);
    std::vector<float> logits;
    for (std::int64_t row = 0; row < shape.rows(); ++row) {
      const float* first = memory.logits + row * shape.logit_stride();
      logits.insert(logits.end(), first, first + shape.vocabulary);
    }
    return logits;
  }

  api::ProgramConfig config_;
  model::Layout layout_;
  std::vector<float> weights_;
};

// Ours in floats, theirs in doubles; the logits go up to 8.
TEST_P(TransformersTest, LogitsAreThoseOfTransformers) {
  Load();
  const Reference reference = ReadReference();
  const std::vector<float> logits = Logits(reference.tokens);
  ASSERT_EQ(reference.logits.size(), 8u * 96);
  ASSERT_EQ(logits.size(), reference.logits.size());
  float largest = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    ASSERT_NEAR(logits[i], reference.logits[i], 2e-5) << "row " << i / 96 << " token " << i % 96;
    largest = std::max(largest, std::abs(reference.logits[i]));
  }
  EXPECT_GT(largest, 3) << "nearly equal logits would prove little";
}

TEST_P(TransformersTest, AnotherNumberOfHeadsIsNoticed) {
  config_.heads = 2;
  EXPECT_TRUE(
      absl::IsInvalidArgument(CheckPretrainedConfig(Folder() + "/model.safetensors", config_)));
  // The weights alone would not have told: the logits are others.
  EXPECT_TRUE(ReadPretrained(Folder() + "/model.safetensors", layout_, weights_).ok());
  const Reference reference = ReadReference();
  EXPECT_GT(std::abs(Logits(reference.tokens).back() - reference.logits.back()), 1e-2);
}

// What a job writes at its end and another one starts from.
TEST_P(TransformersTest, WrittenAgainTheyAreTheSame) {
  const std::string identity = Load();
  const ScratchFolder folder;
  std::vector<FloatTensor> tensors;
  for (const auto& tensor : layout_.tensors) tensors.push_back({tensor.name, tensor.shape});
  auto writer =
      SafetensorsWriter::Create(folder / "model.safetensors", tensors, {{"format", "pt"}});
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->Append(weights_).ok());
  ASSERT_TRUE((*writer)->Finish().ok());
  const std::vector<float> before = weights_;
  EXPECT_EQ(*ReadPretrained(folder / "model.safetensors", layout_, weights_), identity);
  EXPECT_EQ(weights_, before);
}

INSTANTIATE_TEST_SUITE_P(Formats, TransformersTest, testing::Values("f32", "bf16"));

}  // namespace
}  // namespace muster::checkpoint

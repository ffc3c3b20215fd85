// GPT against PyTorch: loss and the gradient of every tensor, from hack/make_gpt_reference.py's
// fixture.
#include <bit>
#include <cmath>
#include <fstream>
#include <map>
#include <string>

#include "tests/worker/model/gradients.h"

namespace muster::model {
namespace {

struct Reference {
  api::ProgramConfig config;
  std::vector<std::int32_t> tokens;
  double loss = 0;
  std::map<std::string, std::vector<float>> weights, gradients;
};

std::vector<float> ReadFloats(std::istream& in, std::size_t count) {
  std::vector<float> values(count);
  std::string word;
  for (float& value : values) {
    in >> word;
    value = std::bit_cast<float>(static_cast<std::uint32_t>(std::stoul(word, nullptr, 16)));
  }
  return values;
}

Reference ReadReference() {
  std::ifstream in(MUSTER_SOURCE_DIR "/tests/worker/model/testdata/gpt_reference.txt");
  EXPECT_TRUE(in.good());
  Reference r;
  std::string word, name;
  std::size_t count = 0;
  while (in >> word) {
    if (word == "shape") {
      in >> r.config.layers >> r.config.heads >> r.config.width >> r.config.context >>
          r.config.batch >> r.config.vocabulary;
    } else if (word == "tokens") {
      r.tokens.resize(static_cast<std::size_t>(r.config.batch * (r.config.context + 1)));
      for (std::int32_t& token : r.tokens) in >> token;
    } else if (word == "loss") {
      in >> r.loss;
    } else {
      in >> name >> count;
      (word == "weight" ? r.weights : r.gradients)[name] = ReadFloats(in, count);
    }
  }
  return r;
}

double Length(std::span<const float> x) {
  double sum = 0;
  for (float value : x) sum += static_cast<double>(value) * value;
  return std::sqrt(sum);
}

class GptReferenceTest : public testing::TestWithParam<int> {};

TEST_P(GptReferenceTest, LossAndEveryGradientAgreeWithPyTorch) {
  const Reference reference = ReadReference();
  const auto program = Make(reference.config, GetParam());
  const Layout& layout = program->layout();
  ASSERT_EQ(layout.tensors.size(), reference.weights.size());
  std::vector<float> weights(static_cast<std::size_t>(layout.parameters));
  for (const Tensor& tensor : layout.tensors) {
    const std::vector<float>& values = reference.weights.at(tensor.name);
    ASSERT_EQ(static_cast<std::int64_t>(values.size()), tensor.size) << tensor.name;
    std::ranges::copy(values, weights.begin() + tensor.offset);
  }
  KeptGradients gradients(layout);
  const SlotLoss loss = program->ComputeSlot(weights, reference.tokens, {1, 1, 0}, gradients);
  EXPECT_EQ(loss.tokens, reference.config.batch * reference.config.context);
  EXPECT_NEAR(loss.sum / static_cast<double>(loss.tokens), reference.loss, 1e-5 * reference.loss);
  for (std::size_t i = 0; i < layout.tensors.size(); ++i) {
    const Tensor& tensor = layout.tensors[i];
    EXPECT_EQ(gradients.times[i], 1) << tensor.name;
    const std::vector<float>& expected = reference.gradients.at(tensor.name);
    std::vector<float> difference(expected.size());
    for (std::size_t j = 0; j < expected.size(); ++j) {
      difference[j] = gradients.values[static_cast<std::size_t>(tensor.offset) + j] - expected[j];
      // Element by element, against the tensor's own scale.
      ASSERT_NEAR(difference[j], 0, 1e-4 * (std::abs(expected[j]) + 0.01)) << tensor.name << j;
    }
    EXPECT_LE(Length(difference), 1e-4 * Length(expected)) << tensor.name;
    EXPECT_GT(Length(expected), 1e-3) << tensor.name << " tests nothing";
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, GptReferenceTest, testing::Values(1, 2));

TEST(GptReferenceTest, EvaluateGivesTheSameLossAndCountsOnlyTheRowsAsked) {
  const Reference reference = ReadReference();
  const auto program = Make(reference.config);
  std::vector<float> weights(static_cast<std::size_t>(program->layout().parameters));
  for (const Tensor& tensor : program->layout().tensors) {
    std::ranges::copy(reference.weights.at(tensor.name), weights.begin() + tensor.offset);
  }
  const SlotLoss all = program->Evaluate(weights, reference.tokens, reference.config.batch);
  EXPECT_NEAR(all.sum / static_cast<double>(all.tokens), reference.loss, 1e-5 * reference.loss);
  double rows = 0;
  for (std::int32_t n = 0; n <= reference.config.batch; ++n) {
    const SlotLoss some = program->Evaluate(weights, reference.tokens, n);
    EXPECT_EQ(some.tokens, n * reference.config.context);
    EXPECT_TRUE(n == 0 ? some.sum == 0 : some.sum > rows);
    rows = some.sum;
  }
  EXPECT_EQ(rows, all.sum);
}

}  // namespace
}  // namespace muster::model

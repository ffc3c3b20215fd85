// MakeProgram's refusals, GPT's layout and its initial state.
#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "tests/worker/model/gradients.h"

namespace muster::model {
namespace {

using testing::HasSubstr;

std::string Refusal(const api::ProgramConfig& config, api::Builtin builtin = api::Builtin::kGpt) {
  const auto program = MakeProgram({builtin, config, {}}, 1);
  EXPECT_EQ(program.status().code(), absl::StatusCode::kInvalidArgument);
  return base::Message(program.status());
}

TEST(ProgramTest, RefusesWhatCannotBeWithFieldValueAndWhatIsAllowed) {
  EXPECT_EQ(Refusal({.heads = 3}),
            "program.config.width is 128: allowed is a multiple of heads, which is 3");
  EXPECT_EQ(Refusal({.layers = 0}), "program.config.layers is 0: allowed is 1 or more");
  EXPECT_THAT(Refusal({.heads = -1}), HasSubstr("program.config.heads is -1"));
  EXPECT_THAT(Refusal({.context = 0}), HasSubstr("program.config.context is 0"));
  EXPECT_THAT(Refusal({.batch = 0}), HasSubstr("program.config.batch is 0"));
  EXPECT_THAT(Refusal({.vocabulary = 1}), HasSubstr("program.config.vocabulary is 1"));
  EXPECT_THAT(Refusal({.dropout = 1.0}), HasSubstr("program.config.dropout is 1"));
  EXPECT_THAT(Refusal({.dropout = std::nan("")}), HasSubstr("program.config.dropout"));
  EXPECT_THAT(Refusal({.context = 1 << 20, .batch = 1 << 20}), HasSubstr("at most"));
  EXPECT_THAT(Refusal({.state_bytes = 11}, api::Builtin::kBench), HasSubstr("stateBytes is 11"));
  EXPECT_THAT(Refusal({.slot_milliseconds = -1}, api::Builtin::kBench),
              HasSubstr("slotMilliseconds is -1"));
}

TEST(ProgramTest, GptLayoutIsGpt2sWithoutHoles) {
  const auto program =
      Make({.layers = 12, .heads = 12, .width = 768, .context = 1024, .vocabulary = 50257});
  const Layout& layout = program->layout();
  EXPECT_EQ(layout.parameters, 124439808);  // GPT-2 small
  EXPECT_EQ(layout.tensors.size(), 148u);
  std::int64_t at = 0;
  std::set<std::string> names;
  for (const Tensor& tensor : layout.tensors) {
    EXPECT_EQ(tensor.offset, at) << tensor.name;
    at += tensor.size;
    names.insert(tensor.name);
    EXPECT_EQ(tensor.decay, tensor.shape.size() == 2) << tensor.name;
  }
  EXPECT_EQ(at, layout.parameters);
  EXPECT_EQ(names.size(), layout.tensors.size());
  EXPECT_TRUE(names.contains("wte.weight") && names.contains("h.11.attn.c_attn.weight") &&
              names.contains("h.0.mlp.c_proj.bias") && names.contains("ln_f.bias"));
  EXPECT_GT(program->scratch_bytes(), 50257 * 768 * 4);
}

TEST(ProgramTest, InitialStateIsGpt2s) {
  const auto program = Make({.layers = 8, .vocabulary = 1000});
  const std::vector<float> weights = Weights(*program, 5);
  EXPECT_EQ(weights, Weights(*program, 5));
  EXPECT_NE(weights, Weights(*program, 6));
  for (const Tensor& tensor : program->layout().tensors) {
    double sum = 0, squares = 0;
    for (std::int64_t i = tensor.offset; i < tensor.offset + tensor.size; ++i) {
      sum += weights[static_cast<std::size_t>(i)];
      squares += std::pow(weights[static_cast<std::size_t>(i)], 2);
    }
    const double n = static_cast<double>(tensor.size);
    if (tensor.shape.size() == 1) {
      EXPECT_EQ(sum, tensor.name.ends_with(".weight") ? n : 0) << tensor.name;
      continue;
    }
    const double deviation = tensor.name.ends_with("c_proj.weight") ? 0.02 / 4 : 0.02;
    EXPECT_NEAR(std::sqrt(squares / n), deviation, 0.02 * deviation) << tensor.name;
    EXPECT_NEAR(sum / n, 0, 5 * deviation / std::sqrt(n)) << tensor.name;
  }
}

TEST(ProgramTest, TrainingOnOneTextLearnsIt) {
  const api::ProgramConfig config{
      .layers = 2, .heads = 2, .width = 32, .context = 16, .batch = 2, .vocabulary = 64};
  const auto program = Make(config);
  std::vector<float> weights = Weights(*program, 1);
  const std::vector<std::int32_t> tokens = Tokens(config);
  KeptGradients gradients(program->layout());
  double first = 0, last = 0;
  for (int step = 1; step <= 150; ++step) {
    const SlotLoss loss = program->ComputeSlot(weights, tokens, {1, step, 0}, gradients);
    last = loss.sum / static_cast<double>(loss.tokens);
    if (step == 1) first = last;
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] -= 0.5f * gradients.values[i];
  }
  EXPECT_NEAR(first, std::log(64.0), 0.2);
  EXPECT_LT(last, 0.5 * first);
}

}  // namespace
}  // namespace muster::model

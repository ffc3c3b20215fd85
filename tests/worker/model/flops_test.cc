// The formulas against figures of GPT-2's sizes, and what they do not count.
#include "worker/model/flops.h"

#include <gtest/gtest.h>

#include "worker/model/gpt_layout.h"

namespace muster::model {
namespace {

api::ProgramSpec Gpt2(std::int32_t layers, std::int32_t width) {
  api::ProgramSpec spec;
  spec.config.layers = layers;
  spec.config.width = width;
  spec.config.context = 1024;
  spec.config.vocabulary = 50304;  // 50257, padded to a multiple of 64
  return spec;
}

TEST(FlopsTest, OfTheFourSizesOfGpt2) {
  struct Row {
    std::int32_t layers, width;
    double millions;    // parameters
    double llmc, palm;  // 1e9 a token
  };
  const Row rows[] = {{12, 768, 124.5, 0.803, 0.860},
                      {24, 1024, 354.9, 2.280, 2.431},
                      {36, 1280, 774.1, 4.928, 5.211},
                      {48, 1600, 1557.7, 9.818, 10.290}};
  for (const Row& row : rows) {
    const api::ProgramSpec spec = Gpt2(row.layers, row.width);
    const auto parameters = static_cast<double>(MakeGptLayout(spec.config).parameters);
    EXPECT_NEAR(parameters / 1e6, row.millions, 0.05) << row.width;
    const ModelFlops flops = FlopsPerToken(spec);
    EXPECT_NEAR(flops.llmc / 1e9, row.llmc, 0.0005) << row.width;
    EXPECT_NEAR(flops.palm / 1e9, row.palm, 0.0005) << row.width;
  }
}

// Six a parameter is all that a context of nothing would leave, and each token before adds as much
// in both.
TEST(FlopsTest, PalmCountsTheAttentionTwice) {
  const api::ProgramSpec spec = Gpt2(12, 768);
  const ModelFlops flops = FlopsPerToken(spec);
  const double parameters = 6.0 * static_cast<double>(MakeGptLayout(spec.config).parameters);
  EXPECT_EQ(flops.palm - parameters, 2 * (flops.llmc - parameters));
  EXPECT_EQ(flops.palm - flops.llmc, 6.0 * 12 * 768 * 1024);
}

TEST(FlopsTest, DependOnNothingButTheModelsShape) {
  api::ProgramSpec spec = Gpt2(12, 768);
  const ModelFlops flops = FlopsPerToken(spec);
  spec.config.heads = 12;
  spec.config.batch = 64;
  spec.config.dropout = 0.1;
  EXPECT_EQ(FlopsPerToken(spec), flops);
  spec.builtin = api::Builtin::kBench;
  EXPECT_EQ(FlopsPerToken(spec), ModelFlops());
}

}  // namespace
}  // namespace muster::model

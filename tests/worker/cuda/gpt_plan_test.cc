#include "worker/cuda/gpt_plan.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "worker/model/gpt_layout.h"

namespace muster::cuda {
namespace {

MusterCudaGptConfig SomeConfig() {
  MusterCudaGptConfig config{};
  config.layers = 3;
  config.heads = 2;
  config.width = 32;
  config.context = 24;
  config.batch = 2;
  config.vocabulary = 61;
  config.chunk_rows = 16;
  return config;
}

TEST(CudaGptPlanTest, TensorsLieWhereTheCpuHasThem) {
  const MusterCudaGptConfig config = SomeConfig();
  api::ProgramConfig cpu;
  cpu.layers = config.layers;
  cpu.heads = config.heads;
  cpu.width = config.width;
  cpu.context = config.context;
  cpu.batch = config.batch;
  cpu.vocabulary = config.vocabulary;
  const model::Layout layout = model::MakeGptLayout(cpu);
  const GptShape shape(config);
  ASSERT_EQ(shape.offsets.size(), layout.tensors.size() + 1);
  for (std::size_t i = 0; i < layout.tensors.size(); ++i) {
    EXPECT_EQ(shape.offsets[i], layout.tensors[i].offset) << layout.tensors[i].name;
    EXPECT_EQ(shape.size(static_cast<std::int32_t>(i)), layout.tensors[i].size);
  }
  EXPECT_EQ(shape.parameters(), layout.parameters);
  EXPECT_EQ(layout.tensors[static_cast<std::size_t>(shape.final_gain)].name, "ln_f.weight");
  // Three rows of zeros stand between the embedding's copy and the rest.
  EXPECT_EQ(shape.padded, 64);
  EXPECT_EQ(shape.copy_offset(kTokenTensor), 0);
  EXPECT_EQ(shape.copy_offset(kPositionTensor), 64 * 32);
}

TEST(CudaGptPlanTest, CountsAsItCutsAndKeepsLessAtEachLevelOfRecompute) {
  MusterCudaGptConfig config = SomeConfig();
  std::int64_t before = INT64_MAX;
  for (const std::int32_t level : {0, 1, 2}) {
    config.recompute = level;
    const std::int64_t bytes = CutGptBuffers(config, nullptr).bytes;
    EXPECT_LT(bytes, before);
    before = bytes;
    std::vector<unsigned char> memory(static_cast<std::size_t>(bytes) + 256);
    const std::uintptr_t raw = reinterpret_cast<std::uintptr_t>(memory.data());
    void* const base = memory.data() + (256 - raw % 256);
    const GptBuffers cut = CutGptBuffers(config, base);
    EXPECT_EQ(cut.bytes, bytes);
    EXPECT_EQ(cut.blocks[0].gelu == cut.blocks[1].gelu, level >= 1);
    EXPECT_EQ(cut.blocks[0].norm1 == cut.blocks[1].norm1, level >= 2);
    EXPECT_EQ(cut.blocks[2].output, cut.last);
    EXPECT_EQ(cut.workspace, nullptr);
  }
}

// docs/gpu.md, "Memory": GPT-2 of 124M and 1558M parameters.
TEST(CudaGptPlanTest, TakesWhatTheDocumentsSay) {
  struct Size {
    std::int32_t layers, heads, width;
    std::int64_t parameters, token[3], beside;
  };
  for (const Size& size : {Size{12, 12, 768, 124439808, {315920, 248336, 213008}, 300},
                           Size{48, 25, 1600, 1557611200, {2505300, 1903700, 1599700}, 499}}) {
    for (std::int32_t level = 0; level < 3; ++level) {
      MusterCudaGptConfig config{};
      config.layers = size.layers;
      config.heads = size.heads;
      config.width = size.width;
      config.context = 1024;
      config.batch = 8;
      config.vocabulary = 50257;
      config.chunk_rows = 1024;
      config.recompute = level;
      config.products = MUSTER_CUDA_PRODUCTS_CUBLASLT;
      EXPECT_EQ(GptShape(config).parameters(), size.parameters);
      const std::int64_t bytes = CutGptBuffers(config, nullptr).bytes;
      const std::int64_t tokens = 8 * 1024 * size.token[level];
      EXPECT_EQ((bytes - tokens - 2 * size.parameters) / 1'000'000, size.beside);
      config.batch = 9;
      // Pieces begin on 256 bytes, so a token may take a part of a byte more or less.
      EXPECT_NEAR(static_cast<double>(CutGptBuffers(config, nullptr).bytes - bytes) / 1024,
                  static_cast<double>(size.token[level]), 1);
    }
  }
}

std::string Refusal(const MusterCudaGptConfig& config) {
  char text[256] = "";
  EXPECT_EQ(CheckGptConfig(config, {text, sizeof text}), 1);
  return text;
}

TEST(CudaGptPlanTest, RefusesWhatItsKernelsCannotDo) {
  char text[256] = "";
  EXPECT_EQ(CheckGptConfig(SomeConfig(), {text, sizeof text}), 0) << text;
  MusterCudaGptConfig config = SomeConfig();
  config.layers = 0;
  EXPECT_EQ(Refusal(config),
            "the configuration of the GPT: layers is 0: allowed is 1 to 134217727");
  config = SomeConfig();
  config.width = 48;  // heads of 24
  EXPECT_EQ(Refusal(config),
            "the configuration of the GPT: width is 48: allowed is heads x the size of a head, "
            "which is a multiple of 16 up to 128");
  config.width = 288;  // heads of 144
  EXPECT_NE(Refusal(config), "");
  config = SomeConfig();
  config.dropout = 1;
  EXPECT_EQ(Refusal(config),
            "the configuration of the GPT: dropout is 1: allowed is 0 or more and less than 1");
  config = SomeConfig();
  config.recompute = 3;
  EXPECT_EQ(Refusal(config), "the configuration of the GPT: recompute is 3: allowed is 0 to 2");
  config = SomeConfig();
  config.products = 2;
  EXPECT_EQ(Refusal(config),
            "the configuration of the GPT: products is 2: allowed is 0 (own kernels) or 1 "
            "(cuBLASLt)");
  config.products = MUSTER_CUDA_PRODUCTS_OWN;
  config.table = "";
  EXPECT_EQ(Refusal(config),
            "the configuration of the GPT: products is 0: allowed is 1 (cuBLASLt) with a table of "
            "algorithms");
  config = SomeConfig();
  config.attention = 2;
  EXPECT_EQ(Refusal(config),
            "the configuration of the GPT: attention is 2: allowed is 0 (own kernels) or 1 "
            "(cuDNN)");
  config.attention = MUSTER_CUDA_ATTENTION_CUDNN;
  EXPECT_EQ(Refusal(config),
            "the configuration of the GPT: context is 24: allowed is a multiple of 128 with the "
            "attention of cuDNN");
}

TEST(CudaGptPlanTest, CountsCudnnsWorkspace) {
  MusterCudaGptConfig config = SomeConfig();
  config.context = 256;
  const std::int64_t own = CutGptBuffers(config, nullptr).bytes;
  config.attention = MUSTER_CUDA_ATTENTION_CUDNN;
  // 2 samples of 2 heads, 256 x 256 scores in bfloat16, and a page.
  EXPECT_EQ(CutGptBuffers(config, nullptr).bytes - own, 2 * 2 * 256 * 256 * 2 + 4096);
}

}  // namespace
}  // namespace muster::cuda

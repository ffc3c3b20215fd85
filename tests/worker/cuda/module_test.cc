// The module as it was built, on whatever machine this is.
#include "worker/device/module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "worker/device/driver.h"

namespace muster::device {
namespace {

TEST(CudaModuleTest, IsOfThisBuildAndSaysWhatItIsFor) {
  const auto loaded = LoadModule(MUSTER_CUDA_LIBRARY);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_GE((*loaded)->cuda_version, 13000);
  EXPECT_EQ(FindingOf(loaded), ModuleFindings(RightModule{"sm_80 sm_90 sm_100 compute_100"}));
}

// No machine has so many: what is asked for here fails with a driver and without one, and needs no skip.
constexpr std::int32_t kNoSuchGpu = 1 << 20;

TEST(CudaModuleTest, WhatItCannotDoItSaysInASentence) {
  const auto loaded = LoadModule(MUSTER_CUDA_LIBRARY);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  std::array<char, 256> text{};
  MusterCudaContext* context = nullptr;
  const MusterCudaText message{text.data(), static_cast<std::int32_t>(text.size())};
  EXPECT_NE((*loaded)->create(kNoSuchGpu, &context, message), 0);
  EXPECT_EQ(context, nullptr);
  EXPECT_THAT(std::string(text.data()),
              testing::MatchesRegex("cudaSetDevice: [^()]+ [(]cudaError[A-Za-z]+[)]"));
  if (std::holds_alternative<NoDriver>(LookForGpus())) {
    EXPECT_THAT(text.data(), testing::HasSubstr("(cudaErrorInsufficientDriver)"));
  }
  (*loaded)->destroy(context);
}

TEST(CudaModuleTest, ASentenceIsCutToItsRoom) {
  const auto loaded = LoadModule(MUSTER_CUDA_LIBRARY);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  std::array<char, 16> text;
  text.fill('x');
  MusterCudaContext* context = nullptr;
  EXPECT_NE((*loaded)->create(kNoSuchGpu, &context, {text.data(), 8}), 0);
  EXPECT_EQ(std::string(text.data()), "cudaSet");
  EXPECT_EQ(text[8], 'x');
  EXPECT_NE((*loaded)->create(kNoSuchGpu, &context, {nullptr, 0}), 0);
}

// The instructions of a PTX text that take or make floating point of any width.
std::vector<std::string> FloatInstructions(const std::string& ptx) {
  static const std::regex instruction(R"([a-z]\w*(\.\w+)*\.\w*f(16|32|64)\w*(\.\w+)*)");
  std::vector<std::string> found;
  for (auto it = std::sregex_iterator(ptx.begin(), ptx.end(), instruction);
       it != std::sregex_iterator(); ++it) {
    found.push_back(it->str());
  }
  return found;
}

// Whether its bits are the CPU's (E3): it moves or compares, or it rounds correctly and cannot be
// fused, which is what ".rn" says of a sum or a product. What is not listed may differ.
bool IsExact(const std::string& instruction) {
  static const std::regex exact(
      R"((ld|st)(\.\w+)+\.f(32|64)|(mov|selp|abs|neg)\.f(32|64)|setp\.[a-z]+\.f(32|64))"
      R"(|(add|sub|mul|div|rcp|sqrt)\.rn\.f(32|64)|cvt\.rn\.f(32|64)\.(s32|s64|f64))"
      R"(|cvt\.f64\.f32|cvt\.rni\.f64\.f64|cvt\.rzi\.s64\.f64)");
  return std::regex_match(instruction, exact);
}

// "sm_80 sm_100 compute_100" are 80 and 100: machine code and what a driver compiles come from one
// text.
std::set<std::string> NumbersOf(const std::string& architectures) {
  static const std::regex number(R"(\d+)");
  return {std::sregex_token_iterator(architectures.begin(), architectures.end(), number),
          std::sregex_token_iterator()};
}

TEST(CudaModuleTest, OfEveryArchitectureNoArithmeticMayBeFusedOrApproximated) {
  const auto loaded = LoadModule(MUSTER_CUDA_LIBRARY);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const std::set<std::string> architectures = NumbersOf((*loaded)->architectures);
  EXPECT_EQ(architectures, (std::set<std::string>{"80", "90", "100"}));
  for (const std::string& architecture : architectures) {
    // And the least number of such instructions in each: a text that lacks its kernels would pass.
    const std::map<std::string, std::size_t> sources = {{"kernels.", 60},
                                                        {"kernels_norm.", 60},
                                                        {"kernels_sum.", 20},
                                                        {"kernels_gpt_elements.", 60},
                                                        {"kernels_gpt_embedding.", 60},
                                                        {"kernels_gpt_head.", 60},
                                                        {"kernels_gpt_norm.", 60}};
    for (const auto& [source, least] : sources) {
      const std::string name = source + architecture + ".ptx";
      std::ifstream file(std::string(MUSTER_CUDA_PTX) + "/" + name);
      std::stringstream text;
      text << file.rdbuf();
      const std::vector<std::string> found = FloatInstructions(text.str());
      for (const std::string& instruction : found) {
        EXPECT_TRUE(IsExact(instruction)) << name << ": " << instruction;
      }
      EXPECT_GT(found.size(), least) << name;
    }
  }
}

TEST(CudaModuleTest, WhatReadsThePtxSeesWhatMayDiffer) {
  const std::vector<std::string> inexact = {"fma.rn.f32",
                                            "fma.rn.f32x2",
                                            "mad.f32",
                                            "add.f32",
                                            "mul.f64",
                                            "add.rn.ftz.f32",
                                            "add.rn.f16x2",
                                            "fma.rn.bf16",
                                            "div.full.f32",
                                            "sqrt.approx.f32",
                                            "rsqrt.approx.ftz.f64",
                                            "tanh.approx.f32",
                                            "sin.approx.f32",
                                            "lg2.approx.f32",
                                            "ex2.approx.ftz.f16x2",
                                            "red.global.add.f32",
                                            "cvt.rz.f32.f64",
                                            "atom.global.add.f64",
                                            "mul.rn.f32x2",
                                            "cvt.rna.tf32.f32",
                                            "mma.sync.aligned.m16n8k8.f32.tf32.tf32.f32"};
  for (const std::string& instruction : inexact) {
    const std::string line = "\t@%p1 " + instruction + " \t%f1, %f2;\n";
    EXPECT_EQ(FloatInstructions(line), std::vector<std::string>{instruction});
    EXPECT_FALSE(IsExact(instruction)) << instruction;
  }
}

}  // namespace
}  // namespace muster::device

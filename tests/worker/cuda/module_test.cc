// The module as it was built, on whatever machine this is.
#include "worker/device/module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <regex>
#include <sstream>

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

// What a driver compiles from the PTX, and what ptxas made machine code of. An operation without
// ".rn" may be fused with another (E3).
TEST(CudaModuleTest, NoArithmeticMayBeFusedOrApproximated) {
  const std::regex operation(
      R"(\b(fma|mad|mul|add|sub|div|sqrt|rcp|rsqrt|ex2)(\.[a-z0-9]+)*\.f(32|64)\b)");
  const std::regex exact(R"((mul|add|sub|div|sqrt|rcp)\.rn\.f(32|64))");
  for (const std::string name : {"kernels", "kernels_norm"}) {
    std::ifstream file(std::string(MUSTER_CUDA_PTX) + "/" + name + ".ptx");
    std::stringstream text;
    text << file.rdbuf();
    const std::string ptx = text.str();
    int seen = 0;
    for (auto it = std::sregex_iterator(ptx.begin(), ptx.end(), operation);
         it != std::sregex_iterator(); ++it, ++seen) {
      EXPECT_TRUE(std::regex_match(it->str(), exact)) << name << ": " << it->str();
    }
    EXPECT_GT(seen, 30) << name;
  }
}

}  // namespace
}  // namespace muster::device

// hack/digest.py shares no code with the program and must come to the same two digests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <bit>
#include <cstdio>

#include "operator/base/rng.h"
#include "operator/base/sha256.h"
#include "tests/worker/checkpoint/small_state.h"
#include "worker/checkpoint/publish.h"
#include "worker/exact/digest.h"

namespace muster::checkpoint {
namespace {

using testing::HasSubstr;

struct Script {
  int status = -1;
  std::string output;  // both streams
};

Script RunScript(const std::string& arguments) {
  const std::string command =
      std::string("python3 ") + MUSTER_SOURCE_DIR "/hack/digest.py " + arguments + " 2>&1";
  Script script;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return script;
  std::array<char, 4096> block;
  while (const std::size_t got = fread(block.data(), 1, block.size(), pipe)) {
    script.output.append(block.data(), got);
  }
  const int status = pclose(pipe);
  script.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return script;
}

// Floats of every class: any bit pattern.
SmallState AnyBits(std::uint64_t seed) {
  base::SplitMix random(seed);
  SmallState state;
  for (auto* vector : {&state.weights, &state.m, &state.v}) {
    for (float& value : *vector)
      value = std::bit_cast<float>(static_cast<std::uint32_t>(random.Next()));
  }
  return state;
}

std::uint64_t DigestOf(const SmallState& state, const ManifestHeader& header) {
  return exact::CombineDigest(exact::DigestFold(state.weights, 0, exact::kWeightsStream),
                              exact::DigestFold(state.m, 0, exact::kMomentStream),
                              exact::DigestFold(state.v, 0, exact::kVarianceStream),
                              header.exponents, header.step.value, header.update_count);
}

TEST(DigestScriptTest, RecomputesBothDigestsFromTheFiles) {
  for (std::int32_t size : {1, 3, 5}) {
    ScratchFolder folder;
    const SmallState state = AnyBits(static_cast<std::uint64_t>(size));
    const std::uint64_t digest = DigestOf(state, SmallHeader(300, 5));
    const api::CheckpointRef ref =
        WriteCheckpoint(folder.path(), state, 300, 5, size, /*final=*/true, digest);
    ASSERT_TRUE(PublishCheckpoint(folder.path(), ref, {ref}).ok());
    const std::string model = ReadAll(folder / "step-00000300-e5/model.safetensors");
    const std::string expected =
        "digest: " + exact::DigestHex(digest) + "\nweightsDigest: " + base::Sha256Hex(model) + "\n";
    for (const std::string& path : {folder.path(), folder / "step-00000300-e5"}) {
      const Script script = RunScript(path);
      EXPECT_EQ(script.output, expected);
      EXPECT_EQ(script.status, 0);
    }
  }
}

TEST(DigestScriptTest, NumpyIsAConvenienceAndNoPartOfTheResult) {
  ScratchFolder folder, no_numpy;
  const SmallState state = AnyBits(9);
  const std::uint64_t digest = DigestOf(state, SmallHeader(300, 5));
  WriteCheckpoint(folder.path(), state, 300, 5, 2, /*final=*/false, digest);
  WriteAll(no_numpy / "numpy.py", "raise ImportError('hidden by a test')\n");
  setenv("PYTHONPATH", no_numpy.path().c_str(), 1);
  const Script script = RunScript(folder / "step-00000300-e5");
  unsetenv("PYTHONPATH");
  EXPECT_EQ(script.output, "digest: " + exact::DigestHex(digest) + "\n");
  EXPECT_EQ(script.status, 0);
}

TEST(DigestScriptTest, SaysWhatDoesNotAgree) {
  ScratchFolder folder;
  const SmallState state = AnyBits(1);
  const std::uint64_t digest = DigestOf(state, SmallHeader(300, 5));
  WriteCheckpoint(folder.path(), state, 300, 5, 2, /*final=*/true, digest + 1);
  Script script = RunScript(folder / "step-00000300-e5");
  EXPECT_EQ(script.status, 1);
  EXPECT_THAT(script.output, HasSubstr("the state's digest is " + exact::DigestHex(digest)));

  const std::string part = folder / "step-00000300-e5/part-00001-of-00002.safetensors";
  std::string content = ReadAll(part);
  content.back() ^= 1;
  WriteAll(part, content);
  script = RunScript(folder / "step-00000300-e5");
  EXPECT_EQ(script.status, 1);
  EXPECT_THAT(script.output, HasSubstr("part-00001-of-00002.safetensors is not the file"));

  script = RunScript(folder.path());
  EXPECT_EQ(script.status, 1);
  EXPECT_THAT(script.output, HasSubstr("has neither manifest.json"));
  EXPECT_EQ(RunScript("").status, 2);
}

}  // namespace
}  // namespace muster::checkpoint

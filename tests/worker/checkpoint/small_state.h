// A small state and its checkpoint on disk, for the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "tests/worker/scratch_folder.h"
#include "worker/checkpoint/reader.h"
#include "worker/checkpoint/writer.h"

namespace muster::checkpoint {

inline void WriteAll(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

// A state of 23 parameters in two tensors; every element differs.
struct SmallState {
  std::vector<float> weights, m, v;
  explicit SmallState(float shift = 0) {
    for (int i = 0; i < 23; ++i) {
      weights.push_back(shift + 0.5f * static_cast<float>(i));
      m.push_back(shift - static_cast<float>(i));
      v.push_back(shift + 0.001f * static_cast<float>(i));
    }
  }
  static SmallState Empty() {
    SmallState state;
    for (auto* vector : {&state.weights, &state.m, &state.v}) vector->assign(23, -77.0f);
    return state;
  }
  StateBuffers buffers() { return {weights, m, v}; }
  friend bool operator==(const SmallState&, const SmallState&) = default;
};

inline model::Layout SmallLayout() {
  return {.tensors = {{"transformer.wte.weight", {4, 5}, 0, 20, true},
                      {"transformer.ln_f.bias", {3}, 20, 3, false}},
          .parameters = 23};
}

constexpr std::uint64_t kSomeDigest = 0x0123456789abcdefULL;

inline ManifestHeader SmallHeader(std::int64_t step, std::uint64_t epoch,
                                  std::uint64_t state_digest = kSomeDigest) {
  return {.step = base::Step(step),
          .epoch = base::Epoch(epoch),
          .job_uid = "uid-1",
          .state_digest = state_digest,
          .update_count = step - 1,
          .exponents = {-3, 12},
          .parameters = 23,
          .kernel_family = "Haswell",
          .build_id = "build-1",
          .data_digest = "data-1"};
}

// Writes the checkpoint of (step, epoch) by `size` members and returns what the record would name.
inline api::CheckpointRef WriteCheckpoint(const std::string& dir, const SmallState& state,
                                          std::int64_t step, std::uint64_t epoch, std::int32_t size,
                                          bool final = false,
                                          std::uint64_t state_digest = kSomeDigest) {
  std::vector<std::string> parts;
  for (std::int32_t rank = 0; rank < size; ++rank) {
    const Slice slice = PartSlice(23, rank, size);
    const auto cut = [&slice](const std::vector<float>& vector) {
      return std::span(vector).subspan(static_cast<std::size_t>(slice.begin),
                                       static_cast<std::size_t>(slice.end - slice.begin));
    };
    auto part = WritePart(dir, {.step = base::Step(step),
                                .epoch = base::Epoch(epoch),
                                .rank = rank,
                                .size = size,
                                .parameters = 23,
                                .weights = cut(state.weights),
                                .adam_m = cut(state.m),
                                .adam_v = cut(state.v)});
    EXPECT_TRUE(part.ok()) << part.status();
    if (part.ok()) parts.push_back(*part);
  }
  auto manifest = WriteManifest(dir, SmallHeader(step, epoch, state_digest), parts, final,
                                SmallLayout(), api::ProgramSpec());
  EXPECT_TRUE(manifest.ok()) << manifest.status();
  return {.step = base::Step(step),
          .epoch = base::Epoch(epoch),
          .digest = manifest.ok() ? manifest->digest : "",
          .time = {}};
}

}  // namespace muster::checkpoint

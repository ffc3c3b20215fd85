// A sink that keeps all gradients, and small configurations that model tests share.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "worker/model/program.h"

namespace muster::model {

class KeptGradients final : public GradientSink {
 public:
  explicit KeptGradients(const Layout& layout)
      : values(static_cast<std::size_t>(layout.parameters), 0.0f),
        times(layout.tensors.size(), 0),
        layout_(layout) {}
  void Finished(std::size_t tensor, std::span<const float> gradient) override {
    const Tensor& t = layout_.tensors.at(tensor);
    ASSERT_EQ(static_cast<std::int64_t>(gradient.size()), t.size);
    std::memcpy(values.data() + t.offset, gradient.data(), gradient.size_bytes());
    ++times[tensor];
  }

  std::vector<float> values;
  std::vector<int> times;  // how often each tensor was finished

 private:
  const Layout& layout_;
};

inline std::unique_ptr<Program> Make(const api::ProgramConfig& config, int threads = 1,
                                     api::Builtin builtin = api::Builtin::kGpt) {
  auto program = MakeProgram({builtin, config, {}}, threads);
  EXPECT_TRUE(program.ok()) << base::Message(program.status());
  return program.ok() ? std::move(*program) : nullptr;
}

inline std::vector<float> Weights(const Program& program, std::uint64_t seed) {
  std::vector<float> weights(static_cast<std::size_t>(program.layout().parameters));
  program.Initialise(seed, weights);
  return weights;
}

inline std::vector<std::int32_t> Tokens(const api::ProgramConfig& c, std::uint32_t seed = 1) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(c.batch * (c.context + 1)));
  for (std::int32_t& token : tokens) {
    seed = seed * 1664525u + 1013904223u;
    token = static_cast<std::int32_t>((seed >> 8) % static_cast<std::uint32_t>(c.vocabulary));
  }
  return tokens;
}

}  // namespace muster::model

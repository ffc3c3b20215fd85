// GPT-2 files of others: what is taken, to the bit, and what is said of the rest.
#include "worker/checkpoint/pretrained.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tests/worker/checkpoint/small_state.h"
#include "worker/checkpoint/safetensors.h"

namespace muster::checkpoint {
namespace {

using testing::AllOf;
using testing::HasSubstr;

model::Layout Model() {
  return {.tensors = {{"wte.weight", {2, 3}, 0, 6, true}, {"h.0.ln_1.bias", {3}, 6, 3, false}},
          .parameters = 9};
}

template <typename T>
std::string Bytes(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

struct Part {
  std::string name;
  std::string dtype;
  std::vector<int> shape;
  std::string bytes;
};

// As others write it: tensors in the order given.
std::string File(const std::vector<Part>& parts) {
  nlohmann::ordered_json header = {{"__metadata__", {{"format", "pt"}}}};
  std::string data;
  for (const Part& part : parts) {
    header[part.name] = {{"dtype", part.dtype},
                         {"shape", part.shape},
                         {"data_offsets", {data.size(), data.size() + part.bytes.size()}}};
    data += part.bytes;
  }
  const std::string json = header.dump();
  return Bytes(std::vector<std::uint64_t>{json.size()}) + json + data;
}

const std::vector<float> kEmbedding = {1, -2, 0.5f, 1e-30f, -0.0f, 3e30f};
const std::vector<float> kBias = {7, 8, 9};
Part Embedding(const std::string& name = "wte.weight") {
  return {name, "F32", {2, 3}, Bytes(kEmbedding)};
}
Part Bias(const std::string& name = "h.0.ln_1.bias") { return {name, "F32", {3}, Bytes(kBias)}; }

class PretrainedTest : public testing::Test {
 protected:
  absl::Status Read(const std::string& content) {
    WriteAll(path(), content);
    weights_.assign(9, -77.0f);
    const absl::StatusOr<std::string> read = ReadPretrained(path(), Model(), weights_);
    identity_ = read.ok() ? *read : "";
    return read.status();
  }
  // Of a file that is not taken.
  std::string Refused(const std::string& content) {
    const absl::Status status = Read(content);
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(base::Message(status), HasSubstr(path()));
    return base::Message(status);
  }
  std::string path() const { return folder_ / "model.safetensors"; }
  static std::vector<float> Both() {
    std::vector<float> both = kEmbedding;
    both.insert(both.end(), kBias.begin(), kBias.end());
    return both;
  }
  ScratchFolder folder_;
  std::vector<float> weights_;
  std::string identity_;
};

TEST_F(PretrainedTest, TakesTensorsInAnyOrderWithAndWithoutThePrefix) {
  for (const std::string prefix : {"", "transformer."}) {
    ASSERT_TRUE(
        Read(File({Bias(prefix + "h.0.ln_1.bias"), Embedding(prefix + "wte.weight")})).ok());
    EXPECT_EQ(Bytes(weights_), Bytes(Both())) << prefix;
  }
}

TEST_F(PretrainedTest, LeavesMasksOutAndAHeadThatIsTheEmbedding) {
  const Part mask{"h.0.attn.bias", "BOOL", {1, 1}, "\1"};
  const Part masked{
      "transformer.h.0.attn.masked_bias", "F32", {}, Bytes(std::vector<float>{-1e4f})};
  const auto status = Read(File({mask, Embedding(), masked, Embedding("lm_head.weight"), Bias()}));
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(weights_, Both());
}

TEST_F(PretrainedTest, ReadsWhatOurOwnExportWrites) {
  auto writer = SafetensorsWriter::Create(path(), {{"wte.weight", {2, 3}}, {"h.0.ln_1.bias", {3}}},
                                          {{"format", "pt"}});
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->Append(Both()).ok());
  ASSERT_TRUE((*writer)->Finish().ok());
  weights_.assign(9, 0);
  ASSERT_TRUE(ReadPretrained(path(), Model(), weights_).ok());
  EXPECT_EQ(weights_, Both());
}

// The formula of the standard, in doubles, against the conversion of every number there is.
TEST_F(PretrainedTest, HalvesAreTheFloatsThatTheyStandFor) {
  for (int upper = 0; upper < 0x100; ++upper) {
    std::vector<std::uint16_t> halves(256);
    std::vector<float> expected(256);
    bool finite = true;
    for (int lower = 0; lower < 0x100; ++lower) {
      const int half = upper << 8 | lower;
      const int exponent = half >> 10 & 0x1f;
      const double fraction = (half & 0x3ff) / 1024.0;
      const double size = exponent == 0 ? std::pow(2.0, -14) * fraction
                                        : std::pow(2.0, exponent - 15) * (1 + fraction);
      halves[static_cast<std::size_t>(lower)] = static_cast<std::uint16_t>(half);
      expected[static_cast<std::size_t>(lower)] = static_cast<float>(half >= 0x8000 ? -size : size);
      finite = finite && exponent != 0x1f;
    }
    const model::Layout layout{.tensors = {{"x", {256}, 0, 256, false}}, .parameters = 256};
    WriteAll(path(), File({{"x", "F16", {256}, Bytes(halves)}}));
    weights_.assign(256, 0);
    const bool read = ReadPretrained(path(), layout, weights_).ok();
    ASSERT_EQ(read, finite) << upper;
    ASSERT_TRUE(!finite || Bytes(weights_) == Bytes(expected)) << upper;
  }
}

TEST_F(PretrainedTest, BfloatsAreTheUpperHalvesOfFloats) {
  const std::vector<std::uint16_t> upper = {0x3f80, 0xbf81, 0x0001, 0x8000, 0x7f7f, 0x4049};
  ASSERT_TRUE(Read(File({{"wte.weight", "BF16", {2, 3}, Bytes(upper)}, Bias()})).ok());
  for (std::size_t i = 0; i < upper.size(); ++i) {
    EXPECT_EQ(std::bit_cast<std::uint32_t>(weights_[i]), std::uint32_t{upper[i]} << 16);
  }
}

TEST_F(PretrainedTest, MoreThanOnePieceArrivesWhole) {
  std::vector<float> many(600'000);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<float>(i);
  const model::Layout layout{.tensors = {{"x", {600, 1000}, 0, 600'000, true}},
                             .parameters = 600'000};
  WriteAll(path(), File({{"x", "F32", {600, 1000}, Bytes(many)}}));
  weights_.assign(many.size(), 0);
  ASSERT_TRUE(ReadPretrained(path(), layout, weights_).ok());
  EXPECT_EQ(weights_, many);
  many[500'000] = INFINITY;
  WriteAll(path(), File({{"x", "F32", {600, 1000}, Bytes(many)}}));
  EXPECT_THAT(base::Message(ReadPretrained(path(), layout, weights_).status()),
              HasSubstr("element 500000 of x is not finite"));
}

TEST_F(PretrainedTest, SaysWhatDoesNotFitTheModel) {
  EXPECT_THAT(Refused(File({Embedding()})), HasSubstr("no tensor h.0.ln_1.bias of shape [3]"));
  EXPECT_THAT(Refused(File({{"wte.weight", "F32", {3, 2}, Bytes(kEmbedding)}, Bias()})),
              HasSubstr("wte.weight has shape [3, 2]; program.config asks for [2, 3]"));
  EXPECT_THAT(Refused(File({Embedding(), Bias(), Bias("h.1.ln_1.bias")})),
              HasSubstr("the model has no tensor h.1.ln_1.bias (its shape is [3])"));
  EXPECT_THAT(Refused(File({{"wte.weight", "F64", {2, 3}, std::string(48, '\0')}, Bias()})),
              HasSubstr("wte.weight has elements of type F64; F32, F16 and BF16 can be read"));
  EXPECT_THAT(Refused(File({Embedding(), Embedding("transformer.wte.weight"), Bias()})),
              HasSubstr("wte.weight is there twice"));
  std::vector<float> other = kEmbedding;
  other[5] = 1;
  EXPECT_THAT(Refused(File({Embedding(), Bias(), {"lm_head.weight", "F32", {2, 3}, Bytes(other)}})),
              HasSubstr("lm_head.weight differs from wte.weight"));
  EXPECT_TRUE(absl::IsInvalidArgument(Read(File({Embedding()}))));
}

TEST_F(PretrainedTest, SaysWhereAFileIsBroken) {
  const std::string good = File({Embedding(), Bias()});
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_TRUE(absl::IsDataLoss(Read(good.substr(0, size)))) << size;
  }
  const auto with_header = [](const std::string& json) {
    return Bytes(std::vector<std::uint64_t>{json.size()}) + json + std::string(64, '\0');
  };
  for (const char* json :
       {"[]", "{", R"({"wte.weight":7})", R"({"wte.weight":{"dtype":"F32","shape":[2,3]}})",
        R"({"wte.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,20]}})",
        R"({"wte.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[-24,0]}})",
        R"({"wte.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[60,84]}})",
        R"({"wte.weight":{"dtype":"F32","shape":[-2,-3],"data_offsets":[0,24]}})",
        R"({"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})"}) {
    EXPECT_TRUE(absl::IsDataLoss(Read(with_header(json)))) << json;
  }
  EXPECT_TRUE(absl::IsNotFound(ReadPretrained(folder_ / "none", Model(), weights_).status()));
  EXPECT_TRUE(absl::IsDataLoss(ReadPretrained(folder_.path(), Model(), weights_).status()));
}

// Members may have it from different places: what counts is what they begin with.
TEST_F(PretrainedTest, TheIdentityIsThatOfTheFloatsAndOfNothingElse) {
  ASSERT_TRUE(Read(File({Embedding(), Bias()})).ok());
  const std::string first = identity_;
  EXPECT_EQ(first, base::Sha256Hex(Bytes(Both())));
  ASSERT_TRUE(
      Read(File({Bias("transformer.h.0.ln_1.bias"), Embedding(), Embedding("lm_head.weight")}))
          .ok());
  EXPECT_EQ(identity_, first);
  const std::vector<std::uint16_t> halves = {0x4700, 0x4800, 0x4880};  // 7, 8, 9
  ASSERT_TRUE(Read(File({Embedding(), {"h.0.ln_1.bias", "F16", {3}, Bytes(halves)}})).ok());
  EXPECT_EQ(identity_, first);
  std::vector<float> other = kBias;
  other[2] = 10;
  ASSERT_TRUE(Read(File({Embedding(), {"h.0.ln_1.bias", "F32", {3}, Bytes(other)}})).ok());
  EXPECT_NE(identity_, first);
}

TEST_F(PretrainedTest, AFolderStandsForTheFileInIt) {
  const auto find = [](const std::string& path) { return FindPretrained(path); };
  EXPECT_THAT(base::Message(find(folder_ / "none").status()),
              HasSubstr("/none: No such file or directory"));
  EXPECT_THAT(base::Message(find(folder_.path()).status()),
              HasSubstr("holds no model.safetensors"));
  folder_.Write("model.safetensors.index.json", "{}");
  EXPECT_THAT(base::Message(find(folder_.path()).status()), HasSubstr("max_shard_size"));
  WriteAll(path(), "x");
  EXPECT_EQ(*find(folder_.path()), path());
  EXPECT_EQ(*find(path()), path());
}

TEST_F(PretrainedTest, WhatTheWeightsCannotTellIsReadFromTheConfigBesideThem) {
  api::ProgramConfig config;
  config.heads = 4;
  config.width = 128;
  EXPECT_TRUE(CheckPretrainedConfig(path(), config).ok()) << "there is none";
  const auto check = [&](const std::string& json) {
    folder_.Write("config.json", json);
    return CheckPretrainedConfig(path(), config);
  };
  for (const char* json :
       {"{}", R"({"n_head": 4, "model_type": "gpt2", "n_inner": null, "vocab_size": 9})",
        R"({"activation_function": "gelu_new", "layer_norm_epsilon": 1e-05, "n_inner": 512})",
        R"({"scale_attn_weights": true, "scale_attn_by_inverse_layer_idx": false})"}) {
    EXPECT_TRUE(check(json).ok()) << json << check(json);
  }
  EXPECT_THAT(base::Message(check(R"({"n_head": 12})")),
              AllOf(HasSubstr("config.json: n_head is 12"), HasSubstr("it has to be 4")));
  EXPECT_THAT(base::Message(check(R"({"activation_function": "relu"})")),
              HasSubstr(R"(has to be "gelu_new" or "gelu_pytorch_tanh")"));
  for (const char* json :
       {R"({"layer_norm_epsilon": 1e-06})", R"({"n_inner": 256})", R"({"model_type": "llama"})",
        R"({"scale_attn_by_inverse_layer_idx": true})", R"({"n_head": "4"})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(check(json))) << json;
  }
  EXPECT_TRUE(absl::IsDataLoss(check("[")));
}

}  // namespace
}  // namespace muster::checkpoint

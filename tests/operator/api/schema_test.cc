// The table is complete and says for each field what a person must know.
#include "operator/api/schema.h"

#include <gtest/gtest.h>

#include <set>

namespace muster::api {
namespace {

TEST(SchemaTest, EveryFieldIsDescribedOnceAndHasItsGroup) {
  std::set<std::string> seen;
  for (const Field& field : Schema()) {
    EXPECT_TRUE(seen.insert(field.path).second) << field.path;
    EXPECT_FALSE(field.description.empty()) << field.path;
    EXPECT_FALSE(AllowedText(field).empty()) << field.path;
    const std::size_t dot = field.path.rfind('.');
    if (dot == std::string::npos) continue;
    std::string parent = field.path.substr(0, dot);
    if (parent.ends_with("[]")) parent.resize(parent.size() - 2);
    EXPECT_NE(FindField(parent), nullptr) << field.path;
  }
}

TEST(SchemaTest, DefaultsAreThoseOfTheStructs) {
  EXPECT_EQ(FindField("spec.elasticity.heartbeatTimeout")->default_text, "1s");
  EXPECT_EQ(FindField("spec.checkpoint.keep")->default_text, "3");
  EXPECT_EQ(FindField("spec.program.config.learningRate")->default_text, "0.001");
  EXPECT_EQ(FindField("spec.training.reduction")->default_text, "Exact64");
  EXPECT_EQ(FindField("spec.activeDeadlineSeconds")->default_text, "null");
}

TEST(SchemaTest, DefaultsAreWithinTheirRanges) {
  for (const Field& field : Schema()) {
    if (field.required || field.default_text.empty()) continue;
    if (field.type == FieldType::kInteger && !field.nullable && field.default_text != "replicas") {
      const std::int64_t value = std::stoll(field.default_text);
      EXPECT_GE(value, field.least) << field.path;
      EXPECT_LE(value, field.most) << field.path;
    }
    if (field.type == FieldType::kNumber) {
      const double value = std::stod(field.default_text);
      EXPECT_GE(value, field.low) << field.path;
      EXPECT_LE(value, field.high) << field.path;
    }
  }
}

TEST(SchemaTest, FindsTheNearestName) {
  EXPECT_EQ(Nearest("step", {"slots", "steps", "seed"}), "steps");
  EXPECT_EQ(Nearest("min_replicas", {"replicas", "minReplicas"}), "minReplicas");
  EXPECT_EQ(Nearest("zebra", {"slots", "steps"}), "");
}

}  // namespace
}  // namespace muster::api

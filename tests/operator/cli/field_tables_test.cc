// The tables on the page are the ones that the program prints.
#include "operator/cli/field_tables.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "operator/api/schema.h"

namespace muster::cli {
namespace {

TEST(FieldTablesTest, ThePageIsFresh) {
  std::ifstream file(std::string(MUSTER_SOURCE_DIR) + "/docs/trainingjob.md");
  std::ostringstream text;
  text << file.rdbuf();
  const std::string page = text.str();
  const std::string begin = "<!-- fields: begin -->\n";
  const std::size_t from = page.find(begin);
  const std::size_t to = page.find("<!-- fields: end -->\n");
  ASSERT_NE(from, std::string::npos);
  ASSERT_NE(to, std::string::npos);
  EXPECT_TRUE(page.substr(from + begin.size(), to - from - begin.size()) == FieldTables())
      << "docs/trainingjob.md is stale: run `hack/dev crd`";
}

TEST(FieldTablesTest, HasARowForEveryField) {
  const std::string tables = FieldTables();
  for (const api::Field& field : api::Schema()) {
    if (field.type == api::FieldType::kIgnored || field.type == api::FieldType::kGroup) continue;
    if (!field.path.starts_with("spec.")) continue;
    EXPECT_NE(tables.find("| `" + field.path + "` |"), std::string::npos) << field.path;
  }
}

}  // namespace
}  // namespace muster::cli

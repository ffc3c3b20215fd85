// What `muster explain` and `muster validate --schema` print.
#include "operator/cli/explain.h"

#include <gtest/gtest.h>

#include "operator/cli/text.h"

namespace muster::cli {
namespace {

TEST(ExplainTest, TellsAField) {
  EXPECT_EQ(*Explain("spec.checkpoint.keep"),
            "spec.checkpoint.keep\n"
            "    How many committed checkpoints stay on disk.\n"
            "    an integer from 1 to 1000 (the newest one is what the job goes back to when all "
            "members are\n"
            "    lost); default: 3\n");
  EXPECT_EQ(*Explain("slots"), *Explain("spec.training.slots"));
}

TEST(ExplainTest, TellsAGroupWithAllThatIsInIt) {
  const std::string text = *Explain("spec.elasticity");
  for (const char* part :
       {"spec.elasticity\n", "spec.elasticity.avoidNodes.window\n", "matters on a cluster only"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(text.find("spec.training"), std::string::npos);
}

TEST(ExplainTest, NamesTheNearestOfAnUnknownField) {
  EXPECT_EQ(base::Message(Explain("slot").status()), "there is no field slot; did you mean slots?");
  EXPECT_EQ(base::Message(Explain("spec.traning.slots").status()),
            "there is no field spec.traning.slots; did you mean spec.training.slots?");
  EXPECT_EQ(base::Message(Explain("qqqqqq").status()),
            "there is no field qqqqqq; `muster explain` lists all");
}

TEST(ExplainTest, TableHasOneLineAField) {
  const std::string table = SchemaTable();
  EXPECT_NE(table.find("an integer from 1 to 65536; required\n"), std::string::npos);
  EXPECT_EQ(table.find("metadata.uid"), std::string::npos);
}

TEST(TextTest, WrapsCutsAndPads) {
  EXPECT_EQ(Wrapped("aa bb cc", 5), (std::vector<std::string>{"aa bb", "cc"}));
  EXPECT_EQ(Cut("abcdef", 4), "abc…");
  EXPECT_EQ(Cut("äöü", 3), "äöü");
  EXPECT_EQ(Cut("äöüß", 3), "äö…");
  EXPECT_EQ(PadLeft("ä", 3), "  ä");
  EXPECT_EQ(Span(0.0521), "0.052 s");
  EXPECT_EQ(Span(185), "3m05s");
  EXPECT_EQ(Span(7260), "2h01m");
  EXPECT_EQ(Short(51'000), "51.0k");
}

}  // namespace
}  // namespace muster::cli

// Where state lives, and the command that goes on.
#include "operator/cli/places.h"

#include <gtest/gtest.h>

namespace muster::cli {
namespace {

TEST(PlacesTest, StateLivesInTheUsersFolderByJobName) {
  EXPECT_EQ(*StateDir({}, "j", {"/xdg", "/home/u", "/w"}), "/xdg/muster/j");
  EXPECT_EQ(*StateDir({}, "j", {"", "/home/u", "/w"}), "/home/u/.local/state/muster/j");
  EXPECT_EQ(*StateDir({}, "j", {"relative", "/home/u", "/w"}), "/home/u/.local/state/muster/j");
  EXPECT_EQ(base::Message(StateDir({}, "j", {"", "", "/w"}).status()),
            "where shall the state live? HOME is not set; name a directory with --state-dir");
}

TEST(PlacesTest, StateDirWins) {
  RunOptions options;
  options.state_dir = "s";
  EXPECT_EQ(*StateDir(options, "j", {"/xdg", "/home/u", "/w"}), "/w/s");
  options.state_dir = "/s";
  EXPECT_EQ(*StateDir(options, "j", {"/xdg", "/home/u", "/w"}), "/s");
}

TEST(PlacesTest, ResumeCommandIsTheSameWithoutTheFaults) {
  RunOptions options;
  options.file = "my job.yaml";
  options.replicas = 3;
  options.state_dir = "/s";
  options.faults.resize(2);
  EXPECT_EQ(ResumeCommand(options), "muster run 'my job.yaml' --replicas 3 --state-dir /s");
}

}  // namespace
}  // namespace muster::cli

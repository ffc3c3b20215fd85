#include "worker/parent/child_environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::parent {
namespace {

using testing::ElementsAre;

TEST(ChildEnvironmentTest, EachProcessHasItsOwnIdNumberPortAndThreads) {
  const std::vector<std::string> own = {"HOME=/h",
                                        "MUSTER_MEMBER=2.4",
                                        "MUSTER_PROCESSES=3",
                                        "MUSTER_PROCESS=9",
                                        "MUSTER_PARENT_FD=5",
                                        "MUSTER_METRICS_PORT=9464",
                                        "MUSTER_THREADS=8",
                                        "A=b=c"};
  EXPECT_THAT(*ChildEnvironment(own, {0, 3, {6, 4000}}),
              ElementsAre("HOME=/h", "MUSTER_METRICS_PORT=9464", "MUSTER_THREADS=2", "A=b=c",
                          "MUSTER_MEMBER=6.4000", "MUSTER_PROCESS=0"));
  EXPECT_THAT(*ChildEnvironment(own, {2, 3, {8, 4001}}),
              ElementsAre("HOME=/h", "MUSTER_METRICS_PORT=9466", "MUSTER_THREADS=2", "A=b=c",
                          "MUSTER_MEMBER=8.4001", "MUSTER_PROCESS=2"));
}

TEST(ChildEnvironmentTest, NoPortStaysNoneAndAShareIsAtLeastOneThread) {
  EXPECT_THAT(*ChildEnvironment({"MUSTER_METRICS_PORT=-1", "MUSTER_THREADS=1"}, {1, 2, {1, 0}}),
              ElementsAre("MUSTER_METRICS_PORT=-1", "MUSTER_THREADS=1", "MUSTER_MEMBER=1.0",
                          "MUSTER_PROCESS=1"));
  EXPECT_THAT(*ChildEnvironment({"MUSTER_METRICS_PORT=0"}, {1, 2, {1, 0}}),
              ElementsAre("MUSTER_METRICS_PORT=0", "MUSTER_MEMBER=1.0", "MUSTER_PROCESS=1"));
}

TEST(ChildEnvironmentTest, WhatCannotBeDividedIsNamed) {
  EXPECT_EQ(base::Message(ChildEnvironment({"MUSTER_THREADS=many"}, {0, 2, {0, 0}}).status()),
            "MUSTER_THREADS='many' is not a whole number");
  EXPECT_EQ(base::Message(ChildEnvironment({"MUSTER_METRICS_PORT="}, {0, 2, {0, 0}}).status()),
            "MUSTER_METRICS_PORT='' is not a whole number");
  EXPECT_EQ(base::Message(ChildEnvironment({"MUSTER_METRICS_PORT=65535"}, {1, 2, {1, 0}}).status()),
            "MUSTER_METRICS_PORT=65535 leaves no port for process 1; at most 65534 is allowed");
}

}  // namespace
}  // namespace muster::parent

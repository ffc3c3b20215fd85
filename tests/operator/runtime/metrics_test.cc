// Series and their text for Prometheus.
#include "operator/runtime/metrics.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "operator/runtime/build_info.h"

namespace muster::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(MetricsTest, CountersGaugesAndHistogramsAreInTheText) {
  Metrics metrics;
  const Counter lost =
      metrics.MakeCounter("muster_lost_total", "Lost ones.", {{"reason", "reset"}});
  lost.Increment();
  lost.Increment(2);
  const Gauge size = metrics.MakeGauge("muster_size", "Size.");
  size.Set(5);
  size.Add(-2);
  const Histogram took = metrics.MakeHistogram("muster_took_seconds", "Time.", {0.1, 1});
  took.Observe(0.05);
  took.Observe(0.5);
  took.Observe(5);
  const std::string text = metrics.Text();
  EXPECT_THAT(text,
              HasSubstr("# HELP muster_lost_total Lost ones.\n# TYPE muster_lost_total counter\n"
                        "muster_lost_total{reason=\"reset\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE muster_size gauge\nmuster_size 3\n"));
  EXPECT_THAT(text, HasSubstr("muster_took_seconds_count 3\n"));
  EXPECT_THAT(text, HasSubstr("muster_took_seconds_bucket{le=\"0.1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("muster_took_seconds_bucket{le=\"1\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("muster_took_seconds_bucket{le=\"+Inf\"} 3\n"));
  EXPECT_EQ(lost.Value(), 3);
  EXPECT_EQ(size.Value(), 3);
}

TEST(MetricsTest, OneSeriesAskedForTwiceIsOne) {
  Metrics metrics;
  metrics.MakeCounter("muster_a_total", "A.", {{"x", "1"}}).Increment();
  metrics.MakeCounter("muster_a_total", "A.", {{"x", "1"}}).Increment();
  metrics.MakeCounter("muster_a_total", "A.", {{"x", "2"}}).Increment();
  metrics.MakeHistogram("muster_h", "H.", {1, 2}, {{"x", "1"}}).Observe(1);
  metrics.MakeHistogram("muster_h", "H.", {5}, {{"x", "2"}}).Observe(1);
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("muster_a_total{x=\"1\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("muster_a_total{x=\"2\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("muster_h_bucket{x=\"2\",le=\"2\"} 1\n"))
      << "one name, one set of bounds";
}

TEST(MetricsTest, CollectedSeriesVanishWithTheirJob) {
  Metrics metrics;
  bool there = true;
  metrics.AddCollector([&]() -> std::vector<Family> {
    if (!there) return {};
    return {{"muster_trainingjob_step",
             "Step.",
             SampleType::kGauge,
             {{{{"namespace", "default"}, {"job_name", "a\"b"}}, 12}}},
            {"muster_trainingjob_tokens_total", "Tokens.", SampleType::kCounter, {{{}, 7}}}};
  });
  EXPECT_THAT(metrics.Text(),
              HasSubstr("muster_trainingjob_step{job_name=\"a\\\"b\",namespace=\"default\"} 12\n"));
  EXPECT_THAT(metrics.Text(), HasSubstr("# TYPE muster_trainingjob_tokens_total counter\n"
                                        "muster_trainingjob_tokens_total 7\n"));
  there = false;
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("trainingjob")));
}

TEST(MetricsTest, HandleWithoutSeriesDoesNothing) {
  Counter().Increment();
  Gauge().Set(1);
  Histogram().Observe(1);
  EXPECT_EQ(Counter().Value(), 0);
  EXPECT_EQ(Gauge().Value(), 0);
}

TEST(MetricsTest, BuildInfoNamesVersionAndBuild) {
  Metrics metrics;
  metrics.AddBuildInfo("muster");
  EXPECT_THAT(metrics.Text(),
              HasSubstr("muster_build_info{build_id=\"" + BuildId() +
                        "\",program=\"muster\",version=\"" + std::string(Version()) + "\"} 1\n"));
}

TEST(BuildInfoTest, ProgramHasASha1OverItsContents) {
  EXPECT_EQ(BuildId().size(), 40u);
  EXPECT_EQ(BuildId().find_first_not_of("0123456789abcdef"), std::string::npos);
}

}  // namespace
}  // namespace muster::runtime

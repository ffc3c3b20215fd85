// Durations, times and numbers: both ways, and what is refused.
#include "operator/api/quantity.h"

#include <gtest/gtest.h>

#include <limits>

namespace muster::api {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

TEST(QuantityTest, DurationsGoBothWays) {
  const std::pair<base::Duration, const char*> cases[] = {
      {seconds(0), "0s"},           {seconds(1), "1s"},
      {milliseconds(200), "200ms"}, {hours(1), "1h"},
      {minutes(90), "1h30m"},       {milliseconds(1500), "1500ms"},
      {seconds(3601), "1h1s"},      {base::Duration(1'500), "1500ns"},
      {base::Duration(7), "7ns"},   {std::chrono::microseconds(3), "3us"},
  };
  for (const auto& [duration, text] : cases) {
    EXPECT_EQ(FormatDuration(duration), text);
    ASSERT_TRUE(ParseDuration(text).ok()) << text;
    EXPECT_EQ(*ParseDuration(text), duration) << text;
  }
}

TEST(QuantityTest, ReadsWhatGoWrites) {
  EXPECT_EQ(*ParseDuration("1h0m0s"), hours(1));
  EXPECT_EQ(*ParseDuration("1.5s"), milliseconds(1500));
  EXPECT_EQ(*ParseDuration("2µs"), std::chrono::microseconds(2));
  EXPECT_EQ(*ParseDuration("0"), seconds(0));
}

TEST(QuantityTest, RefusesWhatIsNoDuration) {
  for (const char* text :
       {"", "1", "s", "-1s", "1 s", "1x", "1.s", "+1s", ".5s", "9999999999h", "1d"}) {
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  }
}

TEST(QuantityTest, TimesGoBothWays) {
  const std::pair<std::int64_t, const char*> cases[] = {
      {0, "1970-01-01T00:00:00Z"},
      {951'782'400'000'000'000, "2000-02-29T00:00:00Z"},
      {1'700'000'000'123'456'789, "2023-11-14T22:13:20.123456789Z"},
      {1'700'000'000'500'000'000, "2023-11-14T22:13:20.5Z"},
  };
  for (const auto& [ns, text] : cases) {
    EXPECT_EQ(FormatTime(base::WallTime(base::Duration(ns))), text);
    ASSERT_TRUE(ParseTime(text).ok()) << text;
    EXPECT_EQ(ParseTime(text)->time_since_epoch().count(), ns) << text;
  }
  EXPECT_EQ(*ParseTime("2023-11-14T23:13:20+01:00"), *ParseTime("2023-11-14T22:13:20Z"));
}

TEST(QuantityTest, RefusesWhatIsNoTime) {
  for (const char* text :
       {"", "2023-11-14", "2023-02-29T00:00:00Z", "2023-11-14T24:00:00Z", "2023-11-14T22:13:20",
        "2023-11-14T22:13:20.Z", "3000-01-01T00:00:00Z", "2023-11-14T22:13:20+1:00"}) {
    EXPECT_FALSE(ParseTime(text).ok()) << text;
  }
}

TEST(QuantityTest, NumbersAreShortAndExact) {
  EXPECT_EQ(FormatNumber(0.1), "0.1");
  EXPECT_EQ(FormatNumber(2.31), "2.31");
  EXPECT_EQ(FormatNumber(std::numeric_limits<double>::infinity()), "");
  EXPECT_EQ(FormatHex64(0xabcULL), "0000000000000abc");
  EXPECT_EQ(*ParseHex64("0000000000000abc"), 0xabcULL);
  EXPECT_FALSE(ParseHex64("abc").ok());
  EXPECT_FALSE(ParseHex64("000000000000zabc").ok());
}

}  // namespace
}  // namespace muster::api

// The machine of a list-and-watch: every input in every stand, then whole lives.
#include "operator/kube/watch_state.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace muster::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

ApiError Error(int code, std::string message = "no") {
  ApiError error;
  error.code = code;
  error.message = std::move(message);
  return error;
}

// Brings a new machine to where a case begins.
struct Rig {
  explicit Rig(WatchSettings settings = {}) : state(settings) {}
  WatchOutcome On(const WatchInput& input) { return state.On(input, chance); }
  AskPage Page() const { return std::get<AskPage>(state.next().what); }
  OpenWatch Open() const { return std::get<OpenWatch>(state.next().what); }
  base::Duration Wait() const { return state.next().wait; }
  WatchState state;
  base::SplitMix chance{7};
};

const WatchOutcome kNone{};

TEST(WatchStateTest, BeginsWithAConsistentPage) {
  Rig rig;
  EXPECT_EQ(rig.Page(), (AskPage{100, "", ""}));
  EXPECT_EQ(rig.Wait(), seconds(0));
  EXPECT_EQ(rig.state.stand(), WatchStand(Empty{true, false}));
}

TEST(WatchStateTest, BeginsFromTheCacheWhenAskedTo) {
  WatchSettings settings;
  settings.consistent_first = false;
  Rig rig(settings);
  EXPECT_EQ(rig.Page(), (AskPage{100, "", "0"}));
}

TEST(WatchStateTest, AfterTheFirstListRelistsAreConsistent) {
  WatchSettings settings;
  settings.consistent_first = false;
  Rig rig(settings);
  rig.On(PageCame{"10", ""});
  rig.On(WatchRefused{Error(410)});
  EXPECT_EQ(rig.Page(), (AskPage{100, "", ""}));
}

// Every stand that there is, each with a name.
struct Start {
  std::string name;
  std::function<void(Rig&)> go;
};
std::vector<Start> Starts() {
  return {{"empty", [](Rig&) {}},
          {"listing", [](Rig& rig) { rig.On(PageCame{"10", "more"}); }},
          {"watching", [](Rig& rig) { rig.On(PageCame{"10", ""}); }},
          {"watching, heard",
           [](Rig& rig) {
             rig.On(PageCame{"10", ""});
             rig.On(ObjectSeen{ObjectChange::kAdded, "11"});
           }},
          {"empty after an expired token",
           [](Rig& rig) {
             rig.On(PageCame{"10", "more"});
             rig.On(PageFailed{Error(410)});
           }},
          {"failing", [](Rig& rig) {
             rig.On(PageCame{"10", ""});
             for (int i = 0; i < 3; ++i) rig.On(WatchRefused{Error(500)});
           }}};
}

// What an input leads to, whatever came before, and in the stand `where` if that matters.
struct Row {
  std::string name;
  WatchInput input;
  StoreEffect effect;
  bool leave;
  bool problem;
  std::string stand;  // empty: as it was
};
std::string NameOf(const WatchStand& stand) {
  if (const auto* empty = std::get_if<Empty>(&stand)) {
    return std::string("Empty") + (empty->consistent ? "" : " cached") +
           (empty->whole ? " whole" : "");
  }
  if (const auto* listing = std::get_if<Listing>(&stand))
    return "Listing " + listing->continue_token;
  return "Watching " + std::get<Watching>(stand).version;
}

TEST(WatchStateTest, EveryInputInEveryStand) {
  const std::vector<Row> rows = {
      {"a page with more", PageCame{"20", "next"}, StoreEffect::kKeepPage, false, false,
       "Listing next"},
      {"the last page", PageCame{"20", ""}, StoreEffect::kReplace, false, false, "Watching 20"},
      {"a last page without a version", PageCame{"", ""}, StoreEffect::kForget, true, true,
       "Empty"},
      {"a page refused", PageFailed{Error(503)}, StoreEffect::kNothing, false, true, ""},
      {"a page unanswered", PageFailed{Error(0)}, StoreEffect::kNothing, false, true, ""},
      {"a page forbidden", PageFailed{Error(403)}, StoreEffect::kNothing, false, true, ""},
      {"an object added", ObjectSeen{ObjectChange::kAdded, "30"}, StoreEffect::kPut, false, false,
       "Watching 30"},
      {"an object modified", ObjectSeen{ObjectChange::kModified, "30"}, StoreEffect::kPut, false,
       false, "Watching 30"},
      {"an object deleted", ObjectSeen{ObjectChange::kDeleted, "30"}, StoreEffect::kRemove, false,
       false, "Watching 30"},
      {"an object without a version", ObjectSeen{ObjectChange::kAdded, ""}, StoreEffect::kForget,
       true, true, "Empty"},
      {"a bookmark", BookmarkSeen{"31"}, StoreEffect::kNothing, false, false, "Watching 31"},
      {"a bookmark without a version", BookmarkSeen{""}, StoreEffect::kNothing, false, false, ""},
      {"an ERROR 500", WatchRefused{Error(500)}, StoreEffect::kNothing, true, true, ""},
      {"an ERROR 429", WatchRefused{Error(429)}, StoreEffect::kNothing, true, true, ""},
      {"an ERROR 410", WatchRefused{Error(410)}, StoreEffect::kForget, true, true, "Empty"},
      {"broken off", WatchOver{seconds(9), "reset"}, StoreEffect::kNothing, true, true, ""},
      {"ended well after long", WatchOver{seconds(9), ""}, StoreEffect::kNothing, false, false, ""},
  };
  for (const Start& start : Starts()) {
    for (const Row& row : rows) {
      Rig rig;
      start.go(rig);
      const std::string before = NameOf(rig.state.stand());
      const WatchOutcome outcome = rig.On(row.input);
      const std::string where = start.name + " / " + row.name;
      EXPECT_EQ(outcome.effect, row.effect) << where;
      EXPECT_EQ(outcome.leave_stream, row.leave) << where;
      EXPECT_EQ(!outcome.problem.empty(), row.problem) << where;
      EXPECT_EQ(NameOf(rig.state.stand()), row.stand.empty() ? before : row.stand) << where;
      // The next act belongs to the stand, whatever it is.
      EXPECT_EQ(std::holds_alternative<OpenWatch>(rig.state.next().what),
                std::holds_alternative<Watching>(rig.state.stand()))
          << where;
    }
  }
}

TEST(WatchStateTest, PagesAreKeptUntilTheLast) {
  Rig rig;
  EXPECT_EQ(rig.On(PageCame{"10", "a"}), (WatchOutcome{StoreEffect::kKeepPage, false, ""}));
  EXPECT_EQ(rig.Page(), (AskPage{100, "a", ""}));
  EXPECT_EQ(rig.On(PageCame{"10", "b"}), (WatchOutcome{StoreEffect::kKeepPage, false, ""}));
  EXPECT_EQ(rig.On(PageCame{"10", ""}), (WatchOutcome{StoreEffect::kReplace, false, ""}));
  EXPECT_EQ(rig.Open().version, "10");
}

TEST(WatchStateTest, AFailedPageIsAskedForAgainWithTheSameToken) {
  Rig rig;
  rig.On(PageCame{"10", "a"});
  rig.On(PageFailed{Error(503)});
  EXPECT_EQ(rig.Page(), (AskPage{100, "a", ""}));
  EXPECT_GT(rig.Wait(), seconds(0));
}

TEST(WatchStateTest, AnExpiredTokenBeginsAgainAtOnceAndWithoutPages) {
  Rig rig;
  rig.On(PageCame{"10", "a"});
  const WatchOutcome outcome = rig.On(PageFailed{Error(410, "too old")});
  EXPECT_EQ(outcome.effect, StoreEffect::kForget);
  EXPECT_EQ(rig.Page(), (AskPage{0, "", ""}));
  EXPECT_EQ(rig.Wait(), seconds(0));
  rig.On(PageCame{"20", ""});
  rig.On(WatchRefused{Error(410)});
  EXPECT_EQ(rig.Page().limit, 100) << "the next list has pages again";
}

TEST(WatchStateTest, A410InMidStreamRelistsAtOnceAndForgetsNothingElse) {
  Rig rig;
  rig.On(PageCame{"10", ""});
  rig.On(ObjectSeen{ObjectChange::kAdded, "11"});
  const WatchOutcome outcome = rig.On(WatchRefused{Error(410, "too old")});
  EXPECT_EQ(outcome.problem, "the watched version is too old: too old");
  EXPECT_EQ(rig.Wait(), seconds(0));
  EXPECT_EQ(rig.Page(), (AskPage{100, "", ""}));
}

TEST(WatchStateTest, AServerThatAnswers410ForEverIsNotListedFromWithoutAPause) {
  Rig rig;
  std::vector<base::Duration> waits;
  for (int i = 0; i < 6; ++i) {
    rig.On(PageCame{"10", ""});
    rig.On(WatchRefused{Error(410)});
    waits.push_back(rig.Wait());
  }
  EXPECT_EQ(waits.front(), seconds(0));
  for (std::size_t i = 1; i < waits.size(); ++i) EXPECT_GE(waits[i], milliseconds(100)) << i;
  EXPECT_GE(waits.back(), seconds(2));
}

TEST(WatchStateTest, AClosedWatchGoesOnFromTheLastVersionWithoutAWait) {
  Rig rig;
  rig.On(PageCame{"10", ""});
  rig.On(BookmarkSeen{"15"});
  EXPECT_EQ(rig.On(WatchOver{milliseconds(1), ""}), kNone) << "it has been heard of";
  EXPECT_EQ(rig.Open().version, "15");
  EXPECT_EQ(rig.Wait(), seconds(0));
  EXPECT_EQ(rig.On(WatchOver{seconds(60), ""}), kNone) << "and a quiet one has lived";
  EXPECT_EQ(rig.Wait(), seconds(0));
}

TEST(WatchStateTest, WatchesThatEndAtOnceWithoutAWordAreSpacedOut) {
  Rig rig;
  rig.On(PageCame{"10", ""});
  for (int i = 0; i < 5; ++i) {
    const WatchOutcome outcome = rig.On(WatchOver{milliseconds(2), ""});
    EXPECT_FALSE(outcome.problem.empty());
    EXPECT_GT(rig.Wait(), seconds(0));
  }
  EXPECT_GE(rig.Wait(), milliseconds(1600));
  EXPECT_EQ(rig.Open().version, "10");
}

TEST(WatchStateTest, WaitsDoubleUpToTheMostAndEndWhenSomethingIsHeard) {
  Rig rig;
  rig.On(PageCame{"10", ""});
  base::Duration least = milliseconds(200);
  for (int i = 0; i < 12; ++i) {
    rig.On(WatchRefused{Error(500)});
    EXPECT_LE(rig.Wait(), least) << i;
    EXPECT_GE(rig.Wait(), least / 2) << i;
    least = std::min<base::Duration>(least * 2, seconds(30));
  }
  EXPECT_EQ(rig.state.failures(), 12);
  rig.On(BookmarkSeen{"16"});
  EXPECT_EQ(rig.state.failures(), 0);
  rig.On(WatchRefused{Error(500)});
  EXPECT_LE(rig.Wait(), milliseconds(200));
}

TEST(WatchStateTest, AListAloneDoesNotEndTheWaits) {
  Rig rig;
  rig.On(PageFailed{Error(0)});
  rig.On(PageFailed{Error(0)});
  rig.On(PageCame{"10", ""});
  EXPECT_EQ(rig.Wait(), seconds(0)) << "the watch itself is opened at once";
  EXPECT_EQ(rig.state.failures(), 2);
}

TEST(WatchStateTest, TheServersWordOnWhenToComeBackIsTheLeast) {
  Rig rig;
  ApiError busy = Error(429);
  busy.retry_after = seconds(7);
  rig.On(PageFailed{busy});
  EXPECT_GE(rig.Wait(), seconds(7));
  EXPECT_LE(rig.Wait(), milliseconds(7200));
}

TEST(WatchStateTest, TheIdleTimeoutIsTheServersPlusFiveSecondsAndTheServersVaries) {
  base::Duration lowest = seconds(1000);
  base::Duration highest = seconds(0);
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Rig rig;
    rig.chance = base::SplitMix(seed);
    rig.On(PageCame{"10", ""});
    const OpenWatch open = rig.Open();
    EXPECT_EQ(open.idle_timeout, open.server_timeout + kIdleSlack);
    EXPECT_EQ(open.server_timeout % seconds(1), seconds(0));
    lowest = std::min(lowest, open.server_timeout);
    highest = std::max(highest, open.server_timeout);
  }
  EXPECT_GE(lowest, seconds(60));
  EXPECT_LE(lowest, seconds(62));
  EXPECT_GE(highest, seconds(70));
  EXPECT_LE(highest, seconds(72));
}

TEST(WatchStateTest, TheSameInputsAndChanceGiveTheSameActs) {
  const auto life = [] {
    Rig rig;
    std::vector<WatchAct> acts;
    for (int i = 0; i < 50; ++i) {
      if (i % 7 == 0) rig.On(PageCame{std::to_string(i + 1), i % 2 == 0 ? "" : "more"});
      if (i % 5 == 0) rig.On(WatchRefused{Error(i % 10 == 0 ? 410 : 500)});
      if (i % 3 == 0) rig.On(ObjectSeen{ObjectChange::kAdded, std::to_string(i + 2)});
      acts.push_back(rig.state.next());
    }
    return acts;
  };
  EXPECT_EQ(life(), life());
}

}  // namespace
}  // namespace muster::kube

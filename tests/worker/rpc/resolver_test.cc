// Which addresses are dialled for which names, with a name service that says what a test wants.
#include "worker/rpc/resolver.h"

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace muster::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr base::Duration kLimit = std::chrono::milliseconds(500);

class FakeNames final : public NameService {
 public:
  std::map<std::string, absl::StatusOr<std::vector<std::string>>> Ask(
      const std::vector<std::string>& hosts, base::Duration limit,
      const std::function<bool()>&) override {
    EXPECT_EQ(limit, kLimit);
    asked.push_back(hosts);
    return answers;
  }

  std::map<std::string, absl::StatusOr<std::vector<std::string>>> answers;
  std::vector<std::vector<std::string>> asked;
};

std::vector<std::string> Dialled(Resolver& resolver, std::string* trouble = nullptr) {
  std::string none;
  std::vector<std::string> out;
  const auto never = [] { return false; };
  for (const Endpoint& e : resolver.Resolve(kLimit, never, trouble != nullptr ? trouble : &none)) {
    out.push_back(e.target + " as " + e.name);
  }
  return out;
}

TEST(ResolverTest, LiteralAddressesAreNobodysQuestion) {
  auto names = std::make_shared<FakeNames>();
  Resolver resolver({"127.0.0.1:1", "[::1]:2", "10.0.0.9:65535", "127.0.0.1:1"}, names);
  EXPECT_THAT(Dialled(resolver), ElementsAre("127.0.0.1:1 as 127.0.0.1", "[::1]:2 as ::1",
                                             "10.0.0.9:65535 as 10.0.0.9"));
  EXPECT_THAT(names->asked, IsEmpty());
}

TEST(ResolverTest, AllAddressesOfANameAreDialledUnderThatName) {
  auto names = std::make_shared<FakeNames>();
  names->answers.emplace("muster.svc", std::vector<std::string>{"10.0.0.1", "10.0.0.2", "fd00::3"});
  Resolver resolver({"muster.svc:7420", "10.0.0.9:7420"}, names);
  EXPECT_THAT(Dialled(resolver),
              ElementsAre("10.0.0.9:7420 as 10.0.0.9", "10.0.0.1:7420 as muster.svc",
                          "10.0.0.2:7420 as muster.svc", "[fd00::3]:7420 as muster.svc"));
}

TEST(ResolverTest, EachAttemptAsksAnew) {
  auto names = std::make_shared<FakeNames>();
  names->answers.emplace("a", std::vector<std::string>{"10.0.0.1"});
  Resolver resolver({"a:1"}, names);
  EXPECT_THAT(Dialled(resolver), ElementsAre("10.0.0.1:1 as a"));
  names->answers.at("a") = std::vector<std::string>{"10.0.0.2"};
  EXPECT_THAT(Dialled(resolver), ElementsAre("10.0.0.2:1 as a"));
  EXPECT_THAT(names->asked, ElementsAre(ElementsAre("a"), ElementsAre("a")));
}

TEST(ResolverTest, NameThatNobodyCanTellKeepsItsLastAddresses) {
  auto names = std::make_shared<FakeNames>();
  names->answers.emplace("a", std::vector<std::string>{"10.0.0.1", "10.0.0.2"});
  Resolver resolver({"a:1", "b:1"}, names);
  std::string trouble;
  EXPECT_THAT(Dialled(resolver, &trouble), ElementsAre("10.0.0.1:1 as a", "10.0.0.2:1 as a"));
  EXPECT_EQ(trouble, "'b' has no address");
  for (const absl::StatusOr<std::vector<std::string>>& bad :
       {absl::StatusOr<std::vector<std::string>>(base::Unavailable("no name server")),
        absl::StatusOr<std::vector<std::string>>(std::vector<std::string>{})}) {
    names->answers.at("a") = bad;
    EXPECT_THAT(Dialled(resolver), ElementsAre("10.0.0.1:1 as a", "10.0.0.2:1 as a"));
  }
}

TEST(ResolverTest, TroubleNamesTheHostThatWasNeverKnown) {
  auto names = std::make_shared<FakeNames>();
  names->answers.emplace("a", base::Unavailable("'a' has no address: no such name"));
  Resolver resolver({"a:1"}, names);
  std::string trouble;
  EXPECT_THAT(Dialled(resolver, &trouble), IsEmpty());
  EXPECT_EQ(trouble, "'a' has no address: no such name");
}

TEST(ResolverTest, CrowdOfAddressesIsBounded) {
  auto names = std::make_shared<FakeNames>();
  std::vector<std::string> crowd;
  for (int i = 0; i < 200; ++i) crowd.push_back("10.0.0." + std::to_string(i));
  names->answers.emplace("a", crowd);
  Resolver resolver({"a:1"}, names);
  EXPECT_EQ(Dialled(resolver).size(), Resolver::kMostEndpoints);
}

// The machine's own name service, with names that need no network.
TEST(NameServiceTest, KnowsLocalhostAndSaysWhatHasNoAddress) {
  const auto names = MakeNameService();
  const auto answers =
      names->Ask({"localhost", "not a name"}, std::chrono::seconds(3), [] { return false; });
  ASSERT_TRUE(answers.contains("localhost"));
  ASSERT_TRUE(answers.at("localhost").ok()) << answers.at("localhost").status();
  EXPECT_THAT(*answers.at("localhost"), ::testing::Contains("127.0.0.1"));
  ASSERT_TRUE(answers.contains("not a name"));
  EXPECT_THAT(base::Message(answers.at("not a name").status()), HasSubstr("'not a name'"));
}

// libc's own waiting (gai_suspend) crashed here once in fifty times: two names, the second answered
// in the instant in which the first one ended the wait.
TEST(NameServiceTest, ManyNamesAtOnceAndAgain) {
  for (int i = 0; i < 200; ++i) {
    const auto names = MakeNameService();
    const auto answers = names->Ask({"localhost", "127.0.0.1", "127.0.0.2", "::1"},
                                    std::chrono::seconds(10), [] { return false; });
    ASSERT_EQ(answers.size(), 4u);
    for (const auto& [host, answer] : answers) ASSERT_TRUE(answer.ok()) << answer.status();
  }
}

// What nobody waits for any more is answered into the void, not into memory that is gone.
TEST(NameServiceTest, IsForgottenInTheMiddleOfAQuestion) {
  for (int i = 0; i < 200; ++i) {
    MakeNameService()->Ask({"localhost"}, std::chrono::seconds(10), [] { return true; });
  }
}

TEST(NameServiceTest, GivesUpWhenToldAndAnswersLater) {
  const auto names = MakeNameService();
  const auto at_once = names->Ask({"localhost"}, std::chrono::seconds(10), [] { return true; });
  ASSERT_TRUE(at_once.contains("localhost"));
  const auto later = names->Ask({"localhost"}, std::chrono::seconds(10), [] { return false; });
  EXPECT_TRUE(later.at("localhost").ok()) << later.at("localhost").status();
}

}  // namespace
}  // namespace muster::rpc

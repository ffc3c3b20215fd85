// The closed list of reasons and docs/reasons.md say the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

namespace muster::job {
namespace {

std::string Text(const char* path) {
  std::ifstream file(std::string(MUSTER_SOURCE_DIR) + "/" + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::set<std::string> All(const std::string& text, const char* pattern) {
  const std::regex wanted(pattern);
  std::set<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), wanted), end; it != end; ++it) {
    found.insert((*it)[1]);
  }
  return found;
}

// Words of the page's tables, fields and types of Kubernetes left out.
std::set<std::string> DocumentedWords() {
  std::set<std::string> words;
  for (const std::string& word : All(Text("docs/reasons.md"), "`([A-Z][A-Za-z]+)`")) {
    if (word != "Unknown") words.insert(word);  // a status
  }
  return words;
}

TEST(ReasonsTest, ThePageHasEveryReasonOfAPlan) {
  const std::set<std::string> documented = DocumentedWords();
  const std::set<std::string> reasons =
      All(Text("operator/job/reasons.h"), "\\[\\] = \"([A-Za-z]+)\"");
  ASSERT_GT(reasons.size(), 50u);
  for (const std::string& reason : reasons) EXPECT_TRUE(documented.contains(reason)) << reason;
}

TEST(ReasonsTest, ThePageNamesNoReasonThatNobodyGives) {
  std::set<std::string> given = All(Text("operator/job/reasons.h"), "\\[\\] = \"([A-Za-z]+)\"");
  // Membership's and the coordinator's own words, wherever they are said.
  for (const char* file :
       {"operator/membership/breaks.cc", "operator/membership/commits.cc",
        "operator/membership/failure.cc", "operator/membership/finish.cc",
        "operator/membership/forming.cc", "operator/membership/install.cc",
        "operator/membership/detector.cc", "operator/membership/voluntary.cc",
        "operator/membership/on_tick.cc", "operator/membership/on_received_leave.cc",
        "operator/membership/on_received_suspect.cc",
        "operator/membership/on_received_committed.cc", "operator/membership/knowing.cc",
        "operator/app/coordinator.cc", "operator/local/cluster_loop.cc"}) {
    given.merge(All(Text(file), "\"([A-Z][a-z]+(?:[A-Z][a-z]+)*)\""));
  }
  for (const std::string& word : DocumentedWords()) EXPECT_TRUE(given.contains(word)) << word;
}

}  // namespace
}  // namespace muster::job

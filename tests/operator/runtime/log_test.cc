// Lines for people and for machines: whole, escaped, filtered by level.
#include "operator/runtime/log.h"

#include <cmath>
#include <cstdio>
#include <memory>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace muster::runtime {
namespace {

// A logger that writes into a temporary file, and what it wrote.
class Written {
 public:
  explicit Written(LogFormat format, LogLevel level = LogLevel::kInfo)
      : file_(std::tmpfile(), &std::fclose),
        logger_(Logger::Options{.format = format, .level = level, .out = file_.get()}) {}
  const Logger& log() const { return logger_; }
  std::vector<std::string> Lines() const {
    std::rewind(file_.get());
    std::vector<std::string> lines(1);
    for (int c; (c = std::fgetc(file_.get())) != EOF;) {
      if (c == '\n') {
        lines.emplace_back();
      } else {
        lines.back().push_back(static_cast<char>(c));
      }
    }
    EXPECT_EQ(lines.back(), "") << "the last line has an end";
    lines.pop_back();
    return lines;
  }

 private:
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  Logger logger_;
};

TEST(LogTest, TextLineIsForPeople) {
  Written out(LogFormat::kText);
  out.log().Warning("membership", "evicted\n3.2",
                    {{"reason", "lost stream"},
                     {"epoch", base::Epoch(4)},
                     {"empty", ""},
                     {"member", base::MemberId{3, 2}},
                     {"alone", true},
                     {"seconds", 0.25}});
  const auto lines = out.Lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(std::regex_match(
      lines[0],
      std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z warning membership: evicted 3\.2 )"
                 R"(reason="lost stream" epoch=4 empty="" member=3\.2 alone=true seconds=0\.25)")))
      << lines[0];
}

TEST(LogTest, JsonLineReadsBackWhateverItIsGiven) {
  Written out(LogFormat::kJson);
  const std::string odd = "a\"b\\c\nd\te\x01 \xff \xc3\xa9 \xe2\x82";
  out.log().Error("rpc", odd,
                  {{"n", -3},
                   {"big", std::uint64_t{18446744073709551615u}},
                   {"x", 0.5},
                   {"ok", false},
                   {"nan", std::nan("")},
                   {"inf", -INFINITY},
                   {"text", odd}});
  const auto lines = out.Lines();
  ASSERT_EQ(lines.size(), 1u);
  const auto json = nlohmann::json::parse(lines[0]);
  const std::string read = "a\"b\\c\nd\te\x01 \xef\xbf\xbd \xc3\xa9 \xef\xbf\xbd\xef\xbf\xbd";
  EXPECT_EQ(json["level"], "error");
  EXPECT_EQ(json["component"], "rpc");
  EXPECT_EQ(json["message"], read);
  EXPECT_EQ(json["text"], read);
  EXPECT_EQ(json["n"], -3);
  EXPECT_EQ(json["big"], 18446744073709551615u);
  EXPECT_EQ(json["x"], 0.5);
  EXPECT_EQ(json["ok"], false);
  EXPECT_TRUE(json["nan"].is_string());
  EXPECT_EQ(json["inf"], "-inf");
}

TEST(LogTest, LinesBelowTheLevelAreNotWritten) {
  Written out(LogFormat::kText, LogLevel::kWarning);
  out.log().Debug("a", "no");
  out.log().Info("a", "no");
  out.log().Warning("a", "yes");
  out.log().Error("a", "yes");
  EXPECT_EQ(out.Lines().size(), 2u);
}

TEST(LogTest, ThreadsDoNotMixTheirLines) {
  Written out(LogFormat::kJson);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 200; ++i) out.log().Info("thread", std::string(100, 'x'), {{"t", t}});
      });
    }
  }
  int count[4] = {};
  for (const std::string& line : out.Lines()) ++count[nlohmann::json::parse(line)["t"].get<int>()];
  for (int t = 0; t < 4; ++t) EXPECT_EQ(count[t], 200);
}

TEST(LogTest, FlagWinsOverEnvironmentAndBadNamesAreRefused) {
  EXPECT_EQ(*ChooseLogFormat("", nullptr), LogFormat::kText);
  EXPECT_EQ(*ChooseLogFormat("", ""), LogFormat::kText);
  EXPECT_EQ(*ChooseLogFormat("", "json"), LogFormat::kJson);
  EXPECT_EQ(*ChooseLogFormat("text", "json"), LogFormat::kText);
  EXPECT_EQ(base::Message(ChooseLogFormat("yaml", nullptr).status()),
            "log format 'yaml' is not known: text or json");
  EXPECT_EQ(base::Message(ChooseLogFormat("", "yaml").status()),
            "MUSTER_LOG_FORMAT: log format 'yaml' is not known: text or json");
  EXPECT_EQ(*ParseLogLevel("debug"), LogLevel::kDebug);
  EXPECT_FALSE(ParseLogLevel("loud").ok());
}

}  // namespace
}  // namespace muster::runtime

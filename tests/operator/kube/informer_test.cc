// An informer over real HTTP, against a server that keeps a list, versions and a log of changes.
#include "operator/kube/informer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>

#include "operator/kube/projection.h"
#include "tests/operator/kube/json_rows.h"
#include "tests/operator/kube/transport_fixture.h"

namespace muster::kube {
namespace {

using Told = runtime::BoundedQueue<std::string>;

// The smallest API server that a list-and-watch can live on: texts by name.
class Shelf {
 public:
  Shelf() : server_([this](const WireRequest& r, WireConnection& c) { return Answer(r, c); }) {}

  void Put(const std::string& name, const std::string& value, const std::string& uid = "u") {
    const std::lock_guard lock(mutex_);
    const bool is_new = !things_.contains(name);
    things_[name] = {uid, std::to_string(++version_), value};
    Tell(is_new ? "ADDED" : "MODIFIED", name, things_[name]);
  }
  void Remove(const std::string& name) {
    const std::lock_guard lock(mutex_);
    Thing thing = things_[name];
    things_.erase(name);
    thing.version = std::to_string(++version_);
    Tell("DELETED", name, thing);
  }
  // Changes without a word to those who watch: as if it had happened while they were away.
  void Secretly(const std::function<void()>& change) {
    {
      const std::lock_guard lock(mutex_);
      silent_ = true;
    }
    change();
    const std::lock_guard lock(mutex_);
    silent_ = false;
  }
  void Line(const std::string& line) {
    const std::lock_guard lock(mutex_);
    log_.push_back({++version_, line});
  }
  // Watches from before now are told that they are too old.
  void Compact() {
    const std::lock_guard lock(mutex_);
    oldest_ = version_;
  }
  void CutAll() { server_.CutAll(); }
  void FailLists(int count, int code) {
    const std::lock_guard lock(mutex_);
    failing_lists_ = count;
    failing_code_ = code;
  }
  std::vector<std::string> Lists() const {
    const std::lock_guard lock(mutex_);
    return lists_;
  }
  std::vector<std::string> Watches() const {
    const std::lock_guard lock(mutex_);
    return watches_;
  }
  std::string url() const { return server_.url(); }

 private:
  struct Thing {
    std::string uid;
    std::string version;
    std::string value;
  };
  struct Change {
    int version;
    std::string line;
  };

  static std::string Text(const std::string& name, const Thing& thing) {
    return Dump({{"metadata",
                  {{"name", name},
                   {"namespace", "ns"},
                   {"uid", thing.uid},
                   {"resourceVersion", thing.version}}},
                 {"value", thing.value}});
  }
  void Tell(const std::string& type, const std::string& name, const Thing& thing) {
    if (silent_) return;
    log_.push_back({version_, "{\"type\":\"" + type + "\",\"object\":" + Text(name, thing) + "}"});
  }
  static std::string Parameter(const std::string& target, const std::string& name) {
    const std::size_t at = target.find(name + "=");
    if (at == std::string::npos) return "";
    const std::size_t begin = at + name.size() + 1;
    return target.substr(begin, target.find('&', begin) - begin);
  }

  bool Answer(const WireRequest& request, WireConnection& connection) {
    if (request.target.find("watch=true") != std::string::npos) return Watch(request, connection);
    const std::lock_guard lock(mutex_);
    lists_.push_back(request.target);
    if (failing_lists_ > 0) {
      --failing_lists_;
      return connection.Reply(failing_code_, "");
    }
    const std::string limit = Parameter(request.target, "limit");
    const std::string from = Parameter(request.target, "continue");
    std::string items;
    std::string more;
    int count = 0;
    for (auto it = things_.upper_bound(from); it != things_.end(); ++it) {
      items += (items.empty() ? "" : ",") + Text(it->first, it->second);
      if (!limit.empty() && ++count == std::stoi(limit) && std::next(it) != things_.end()) {
        more = it->first;
        break;
      }
    }
    return connection.Reply(200, "{\"metadata\":{\"resourceVersion\":\"" +
                                     std::to_string(version_) + "\",\"continue\":\"" + more +
                                     "\"},\"items\":[" + items + "]}");
  }

  bool Watch(const WireRequest& request, WireConnection& connection) {
    const int from = std::stoi(Parameter(request.target, "resourceVersion"));
    std::size_t next = 0;
    {
      const std::lock_guard lock(mutex_);
      watches_.push_back(request.target);
      if (from < oldest_) {
        return connection.Reply(
            410, R"({"kind":"Status","code":410,"reason":"Expired","message":"too old"})");
      }
      while (next < log_.size() && log_[next].version <= from) ++next;
    }
    connection.WriteHead(200, kChunked);
    for (;;) {
      std::vector<std::string> lines;
      {
        const std::lock_guard lock(mutex_);
        for (; next < log_.size(); ++next) lines.push_back(log_[next].line);
      }
      for (const std::string& line : lines) {
        // In two chunks, so that every event is put together again.
        const std::size_t half = line.size() / 2;
        if (!connection.WriteChunk(line.substr(0, half)) ||
            !connection.WriteChunk(line.substr(half) + "\n")) {
          return false;
        }
      }
      if (!connection.Sleep(milliseconds(10))) return false;
    }
  }

  mutable std::mutex mutex_;
  std::map<std::string, Thing> things_;
  std::vector<Change> log_;
  std::vector<std::string> lists_;
  std::vector<std::string> watches_;
  int version_ = 1;
  int oldest_ = 0;
  int failing_lists_ = 0;
  int failing_code_ = 503;
  bool silent_ = false;
  WireServer server_;
};

// A projection.
struct Seen {
  std::string ns;
  std::string name;
  std::string uid;
  std::string value;
  KeyView Key() const { return {ns, name}; }
  const std::string& Uid() const { return uid; }
  friend bool operator==(const Seen&, const Seen&) = default;
};
absl::StatusOr<Seen> See(const Json& object) {
  return Seen{TextAt(object, {"metadata", "namespace"}), TextAt(object, {"metadata", "name"}),
              TextAt(object, {"metadata", "uid"}), TextAt(object, {"value"})};
}

class InformerTest : public TransportTest {
 protected:
  // Deltas as "+a=1", "a=1>2", "-a=2", and "synced" in its place among them.
  void Start(std::int64_t page_size = 2) {
    transport_ = Make(Config(shelf_.url()));
    client_ = std::make_unique<Client>(*transport_);
    InformerOptions<Seen> options;
    options.list_watch.resource = {"test", "v1", "things", "Thing"};
    options.list_watch.label_selector = "app=muster";
    options.list_watch.watch.page_size = page_size;
    options.list_watch.watch.least_wait = milliseconds(5);
    options.list_watch.watch.most_wait = milliseconds(50);
    options.project = [](const Json& object) -> absl::StatusOr<Seen> {
      const std::string value = TextAt(object, {"value"});
      if (value == "unreadable") return base::InvalidArgument("value is unreadable");
      return See(object);
    };
    options.on_delta = [this](const Delta<Seen>& delta) {
      if (delta.added()) {
        told_.Push("+" + delta.after->name + "=" + delta.after->value);
      } else if (delta.removed()) {
        told_.Push("-" + delta.before->name + "=" + delta.before->value);
      } else {
        told_.Push(delta.after->name + "=" + delta.before->value + ">" + delta.after->value);
      }
    };
    options.on_synced = [this] { told_.Push("synced"); };
    options.on_problem = [this](const std::string& problem) { problems_.Push(problem); };
    informer_ = std::make_unique<Informer<Seen>>(*client_, kClock, std::move(options));
  }
  void TearDown() override {
    told_.Close();
    problems_.Close();
    informer_.reset();
  }
  std::string Next() { return told_.PopUntil(kClock.Now() + seconds(20)).value_or("nothing"); }
  void Expect(const Lines& expected) {
    for (const std::string& one : expected) EXPECT_EQ(Next(), one);
  }

  Shelf shelf_;
  Told told_{1000, runtime::WhenFull::kBlock};
  Told problems_{1000, runtime::WhenFull::kDropAndCount};
  std::unique_ptr<HttpTransport> transport_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Informer<Seen>> informer_;
};

TEST_F(InformerTest, ListsInPagesAndThenFollows) {
  for (const char* name : {"a", "b", "c", "d", "e"}) shelf_.Put(name, "1");
  Start();
  Expect({"+a=1", "+b=1", "+c=1", "+d=1", "+e=1", "synced"});
  EXPECT_TRUE(informer_->Synced());
  EXPECT_EQ(informer_->store().size(), 5u);
  EXPECT_EQ(shelf_.Lists(),
            (Lines{"/apis/test/v1/things?labelSelector=app%3Dmuster&limit=2",
                   "/apis/test/v1/things?labelSelector=app%3Dmuster&limit=2&continue=b",
                   "/apis/test/v1/things?labelSelector=app%3Dmuster&limit=2&continue=d"}));
  shelf_.Put("f", "1");
  shelf_.Put("a", "2");
  shelf_.Put("b", "1");
  shelf_.Remove("c");
  Expect({"+f=1", "a=1>2", "-c=1"});
  EXPECT_EQ(informer_->store().Find({"ns", "a"})->value, "2");
  EXPECT_NE(shelf_.Watches().front().find("labelSelector=app%3Dmuster"), std::string::npos);
}

TEST_F(InformerTest, AnEmptyListIsSyncedToo) {
  Start();
  Expect({"synced"});
  EXPECT_EQ(informer_->store().size(), 0u);
}

TEST_F(InformerTest, ABrokenWatchGoesOnFromTheLastVersionWithoutAList) {
  shelf_.Put("a", "1");
  Start();
  Expect({"+a=1", "synced"});
  shelf_.Put("a", "2");
  Expect({"a=1>2"});
  for (int round = 3; round < 8; ++round) {
    shelf_.CutAll();
    shelf_.Put("a", std::to_string(round));
    Expect({"a=" + std::to_string(round - 1) + ">" + std::to_string(round)});
  }
  EXPECT_EQ(shelf_.Lists().size(), 1u);
}

TEST_F(InformerTest, After410ItListsAgainAndTellsWhatVanished) {
  for (const char* name : {"a", "b", "c"}) shelf_.Put(name, "1");
  Start();
  Expect({"+a=1", "+b=1", "+c=1", "synced"});
  shelf_.Secretly([&] {
    shelf_.Remove("b");
    shelf_.Put("c", "1", "another");
    shelf_.Put("d", "1");
  });
  shelf_.Compact();
  shelf_.CutAll();
  Expect({"-b=1", "-c=1", "+c=1", "+d=1"});
  shelf_.Put("d", "2");
  Expect({"d=1>2"});
}

TEST_F(InformerTest, A410InMidStreamListsAgain) {
  shelf_.Put("a", "1");
  Start();
  Expect({"+a=1", "synced"});
  shelf_.Secretly([&] { shelf_.Put("a", "2"); });
  shelf_.Line(
      R"({"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"old"}})");
  Expect({"a=1>2"});
  EXPECT_EQ(shelf_.Lists().size(), 2u);
  EXPECT_NE(problems_.Pop()->find("old"), std::string::npos);
}

TEST_F(InformerTest, BookmarksMoveTheVersionOn) {
  shelf_.Put("a", "1");
  Start();
  Expect({"+a=1", "synced"});
  shelf_.Line(R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"77"}}})");
  shelf_.Put("b", "1");
  Expect({"+b=1"});
  shelf_.Line(R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"78"}}})");
  const base::Time until = kClock.Now() + seconds(20);
  const auto goes_on = [&] {
    return shelf_.Watches().back().find("resourceVersion=78") != std::string::npos;
  };
  while (!goes_on() && kClock.Now() < until) {
    shelf_.CutAll();
    std::this_thread::sleep_for(milliseconds(30));
  }
  EXPECT_TRUE(goes_on()) << shelf_.Watches().back();
}

TEST_F(InformerTest, TheSameNameWithAnotherUidIsARemovalAndAnAddition) {
  shelf_.Put("a", "1", "u1");
  Start();
  Expect({"+a=1", "synced"});
  shelf_.Put("a", "1", "u2");
  Expect({"-a=1", "+a=1"});
  EXPECT_EQ(informer_->store().Find({"ns", "a"})->uid, "u2");
}

TEST_F(InformerTest, WhatCannotBeReadIsAbsentAndSaid) {
  shelf_.Put("a", "unreadable");
  shelf_.Put("b", "1");
  Start();
  Expect({"+b=1", "synced"});
  EXPECT_EQ(*problems_.Pop(), "ns/a: value is unreadable");
  shelf_.Put("b", "unreadable");
  Expect({"-b=1"});
  shelf_.Put("a", "2");
  Expect({"+a=2"});
}

TEST_F(InformerTest, AServerThatIsAwayAtTheStartIsAskedUntilItAnswers) {
  shelf_.Put("a", "1");
  shelf_.FailLists(6, 403);
  Start();
  Expect({"+a=1", "synced"});
  EXPECT_EQ(shelf_.Lists().size(), 7u);
}

TEST_F(InformerTest, EndsAtOnceWhileItWatches) {
  Start();
  Expect({"synced"});
  const base::Time begun = kClock.Now();
  informer_.reset();
  EXPECT_LT(kClock.Now() - begun, seconds(3));
}

TEST_F(InformerTest, AFullQueueHoldsTheWatchBackAndLosesNothing) {
  runtime::BoundedQueue<Delta<Seen>> queue(2, runtime::WhenFull::kBlock);
  transport_ = Make(Config(shelf_.url()));
  client_ = std::make_unique<Client>(*transport_);
  InformerOptions<Seen> options;
  options.list_watch.resource = {"test", "v1", "things", "Thing"};
  options.project = See;
  options.on_delta = PushTo(queue);
  informer_ = std::make_unique<Informer<Seen>>(*client_, kClock, std::move(options));
  for (int i = 0; i < 100; ++i) shelf_.Put("n" + std::to_string(100 + i), "1");
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_LE(queue.size(), 2u);
  for (int i = 0; i < 100; ++i) {
    const auto delta = queue.PopUntil(kClock.Now() + seconds(20));
    ASSERT_TRUE(delta) << i;
    EXPECT_EQ(delta->after->name, "n" + std::to_string(100 + i));
  }
  shelf_.Put("z1", "1");
  shelf_.Put("z2", "1");
  shelf_.Put("z3", "1");
  std::this_thread::sleep_for(milliseconds(50));
  queue.Close();  // lets go of the informer, which waits for room
}

}  // namespace
}  // namespace muster::kube

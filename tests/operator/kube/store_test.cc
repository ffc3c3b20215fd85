// What a store tells when objects come, change, go, and come again under the same name.
#include "operator/kube/store.h"

#include <gtest/gtest.h>

namespace muster::kube {
namespace {

using Texts = std::vector<std::string>;

Stored<std::string> Entry(std::string name, std::string value, std::string uid = "u") {
  return {{"ns", std::move(name)}, std::move(uid), std::move(value)};
}

// "+a=1", "-a=1", "a=1>2", in order.
Texts Told(const std::vector<Delta<std::string>>& deltas) {
  Texts out;
  for (const Delta<std::string>& delta : deltas) {
    if (delta.added()) {
      out.push_back("+" + delta.after->key.name + "=" + delta.after->value);
    } else if (delta.removed()) {
      out.push_back("-" + delta.before->key.name + "=" + delta.before->value);
    } else {
      out.push_back(delta.after->key.name + "=" + delta.before->value + ">" + delta.after->value);
    }
  }
  return out;
}

TEST(StoreTest, TellsWhatIsNewWhatChangedAndWhatIsGone) {
  Store<std::string> store;
  EXPECT_EQ(Told(store.Put(Entry("a", "1"))), Texts{"+a=1"});
  EXPECT_EQ(Told(store.Put(Entry("a", "2"))), Texts{"a=1>2"});
  EXPECT_EQ(Told(store.Remove({"ns", "a"})), Texts{"-a=2"});
  EXPECT_EQ(Told(store.Remove({"ns", "a"})), Texts{});
  EXPECT_EQ(store.size(), 0u);
}

TEST(StoreTest, AnEqualValueIsNoNewsAndWhatWasToldOfStays) {
  Store<std::string> store;
  const auto told = store.Put(Entry("a", "1"));
  EXPECT_EQ(Told(store.Put(Entry("a", "1"))), Texts{});
  std::vector<Stored<std::string>> list;
  list.push_back(Entry("a", "1"));
  EXPECT_EQ(Told(store.ReplaceAll(std::move(list))), Texts{});
  EXPECT_EQ(store.Find({"ns", "a"}), told.front().after);
}

TEST(StoreTest, AnotherUidUnderTheSameNameIsARemovalAndAnAddition) {
  Store<std::string> store;
  store.Put(Entry("a", "1", "u1"));
  EXPECT_EQ(Told(store.Put(Entry("a", "1", "u2"))), (Texts{"-a=1", "+a=1"}));
  EXPECT_EQ(store.Find({"ns", "a"})->uid, "u2");
}

TEST(StoreTest, AListTellsRemovalsFirstAndThenWhatIsDifferent) {
  Store<std::string> store;
  for (const char* name : {"a", "b", "c", "d"}) store.Put(Entry(name, "1", "u"));
  std::vector<Stored<std::string>> list;
  list.push_back(Entry("b", "1"));
  list.push_back(Entry("c", "2"));
  list.push_back(Entry("d", "1", "other"));
  list.push_back(Entry("e", "1"));
  EXPECT_EQ(Told(store.ReplaceAll(std::move(list))),
            (Texts{"-a=1", "c=1>2", "-d=1", "+d=1", "+e=1"}));
  EXPECT_EQ(store.size(), 4u);
  EXPECT_EQ(Told(store.ReplaceAll({})), (Texts{"-b=1", "-c=2", "-d=1", "-e=1"}));
}

TEST(StoreTest, AReadValueDoesNotChangeUnderItsReader) {
  Store<std::string> store;
  store.Put(Entry("a", "1"));
  const StoredPtr<std::string> before = store.Find({"ns", "a"});
  store.Put(Entry("a", "2"));
  EXPECT_EQ(before->value, "1");
  EXPECT_EQ(store.Find({"ns", "a"})->value, "2");
}

TEST(StoreTest, NamespacesKeepEqualNamesApart) {
  Store<std::string> store;
  store.Put({{"one", "a"}, "u1", "1"});
  store.Put({{"two", "a"}, "u2", "2"});
  EXPECT_EQ(store.size(), 2u);
  EXPECT_EQ(store.Find({"two", "a"})->value, "2");
}

}  // namespace
}  // namespace muster::kube

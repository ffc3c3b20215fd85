// What a store tells when objects come, change, go, and come again under the same name.
#include "operator/kube/store.h"

#include <gtest/gtest.h>

namespace muster::kube {
namespace {

using Texts = std::vector<std::string>;

struct Thing {
  std::string name;
  std::string value;
  std::string uid = "u";
  std::string ns = "ns";
  KeyView Key() const { return {ns, name}; }
  const std::string& Uid() const { return uid; }
  friend bool operator==(const Thing&, const Thing&) = default;
};

// "+a=1", "-a=1", "a=1>2", in order.
Texts Told(const std::vector<Delta<Thing>>& deltas) {
  Texts out;
  for (const Delta<Thing>& delta : deltas) {
    if (delta.added()) {
      out.push_back("+" + delta.after->name + "=" + delta.after->value);
    } else if (delta.removed()) {
      out.push_back("-" + delta.before->name + "=" + delta.before->value);
    } else {
      out.push_back(delta.after->name + "=" + delta.before->value + ">" + delta.after->value);
    }
  }
  return out;
}

TEST(StoreTest, TellsWhatIsNewWhatChangedAndWhatIsGone) {
  Store<Thing> store;
  EXPECT_EQ(Told(store.Put(Thing{"a", "1"})), Texts{"+a=1"});
  EXPECT_EQ(Told(store.Put(Thing{"a", "2"})), Texts{"a=1>2"});
  EXPECT_EQ(Told(store.Remove({"ns", "a"})), Texts{"-a=2"});
  EXPECT_EQ(Told(store.Remove({"ns", "a"})), Texts{});
  EXPECT_EQ(store.size(), 0u);
}

TEST(StoreTest, AnEqualValueIsNoNewsAndWhatWasToldOfStays) {
  Store<Thing> store;
  const auto told = store.Put(Thing{"a", "1"});
  EXPECT_EQ(Told(store.Put(Thing{"a", "1"})), Texts{});
  std::vector<Thing> list;
  list.push_back(Thing{"a", "1"});
  EXPECT_EQ(Told(store.ReplaceAll(std::move(list))), Texts{});
  EXPECT_EQ(store.Find({"ns", "a"}), told.front().after);
}

TEST(StoreTest, AnotherUidUnderTheSameNameIsARemovalAndAnAddition) {
  Store<Thing> store;
  store.Put(Thing{"a", "1", "u1"});
  EXPECT_EQ(Told(store.Put(Thing{"a", "1", "u2"})), (Texts{"-a=1", "+a=1"}));
  EXPECT_EQ(store.Find({"ns", "a"})->uid, "u2");
}

TEST(StoreTest, AListTellsRemovalsFirstAndThenWhatIsDifferent) {
  Store<Thing> store;
  for (const char* name : {"a", "b", "c", "d"}) store.Put(Thing{name, "1", "u"});
  std::vector<Thing> list;
  list.push_back(Thing{"b", "1"});
  list.push_back(Thing{"c", "2"});
  list.push_back(Thing{"d", "1", "other"});
  list.push_back(Thing{"e", "1"});
  EXPECT_EQ(Told(store.ReplaceAll(std::move(list))),
            (Texts{"-a=1", "c=1>2", "-d=1", "+d=1", "+e=1"}));
  EXPECT_EQ(store.size(), 4u);
  EXPECT_EQ(Told(store.ReplaceAll({})), (Texts{"-b=1", "-c=2", "-d=1", "-e=1"}));
}

TEST(StoreTest, AReadValueDoesNotChangeUnderItsReader) {
  Store<Thing> store;
  store.Put(Thing{"a", "1"});
  const StoredPtr<Thing> before = store.Find({"ns", "a"});
  store.Put(Thing{"a", "2"});
  EXPECT_EQ(before->value, "1");
  EXPECT_EQ(store.Find({"ns", "a"})->value, "2");
}

TEST(StoreTest, NamespacesKeepEqualNamesApart) {
  Store<Thing> store;
  store.Put({"a", "1", "u1", "one"});
  store.Put({"a", "2", "u2", "two"});
  EXPECT_EQ(store.size(), 2u);
  EXPECT_EQ(store.Find({"two", "a"})->value, "2");
}

}  // namespace
}  // namespace muster::kube

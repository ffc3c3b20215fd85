#include "operator/kube/expectations.h"

#include <algorithm>

namespace muster::kube {
namespace {

using Since = std::map<std::string, base::Time, std::less<>>;

bool Expired(base::Time now, base::Time since) { return now - since >= Expectations::kExpiry; }

std::vector<std::string> Live(base::Time now, const Since& expected) {
  std::vector<std::string> out;
  for (const auto& [name, since] : expected) {
    if (!Expired(now, since)) out.push_back(name);
  }
  return out;
}

void Erase(Since& expected, std::string_view name) {
  if (const auto at = expected.find(name); at != expected.end()) expected.erase(at);
}

}  // namespace

void Expectations::ExpectCreation(base::Time now, const std::string& key, const std::string& name) {
  keys_[key].creations.insert_or_assign(name, now);
}

void Expectations::ExpectDeletion(base::Time now, const std::string& key, const std::string& uid) {
  keys_[key].deletions.insert_or_assign(uid, now);
}

template <typename Change>
void Expectations::ChangeKey(const std::string& key, Change change) {
  const auto at = keys_.find(key);
  if (at == keys_.end()) return;
  change(at->second);
  if (at->second.creations.empty() && at->second.deletions.empty()) keys_.erase(at);
}

void Expectations::CreationRefused(const std::string& key, const std::string& name) {
  ChangeKey(key, [&](Expected& expected) { Erase(expected.creations, name); });
}

void Expectations::DeletionRefused(const std::string& key, const std::string& uid) {
  ChangeKey(key, [&](Expected& expected) { Erase(expected.deletions, uid); });
}

void Expectations::ObserveObject(const std::string& key, std::string_view name,
                                 std::string_view uid, bool deleting) {
  ChangeKey(key, [&](Expected& expected) {
    Erase(expected.creations, name);
    if (deleting) Erase(expected.deletions, uid);
  });
}

void Expectations::ObserveGone(const std::string& key, std::string_view name,
                               std::string_view uid) {
  ChangeKey(key, [&](Expected& expected) {
    Erase(expected.creations, name);
    Erase(expected.deletions, uid);
  });
}

Expectations::Verdict Expectations::Check(base::Time now, const std::string& key) const {
  const auto at = keys_.find(key);
  if (at == keys_.end()) return {};
  std::size_t creations = 0;
  std::size_t deletions = 0;
  std::optional<base::Time> last;
  const auto count = [&](const Since& expected, std::size_t& number) {
    for (const auto& [name, since] : expected) {
      if (Expired(now, since)) continue;
      ++number;
      last = std::max(last.value_or(since), since);
    }
  };
  count(at->second.creations, creations);
  count(at->second.deletions, deletions);
  if (!last) return {};
  return {false,
          "waits until the watch shows " + std::to_string(creations) + " created and " +
              std::to_string(deletions) + " deleted pods",
          *last + kExpiry};
}

std::vector<std::string> Expectations::ExpectedNames(base::Time now, const std::string& key) const {
  const auto at = keys_.find(key);
  return at == keys_.end() ? std::vector<std::string>() : Live(now, at->second.creations);
}

std::vector<std::string> Expectations::ExpectedGone(base::Time now, const std::string& key) const {
  const auto at = keys_.find(key);
  return at == keys_.end() ? std::vector<std::string>() : Live(now, at->second.deletions);
}

std::vector<int> SlowStart(int wanted, int most) {
  std::vector<int> batches;
  int left = std::min(wanted, most);
  for (int batch = 1; left > 0; batch *= 2) {
    batches.push_back(std::min(batch, left));
    left -= batches.back();
  }
  return batches;
}

}  // namespace muster::kube

// What was asked of the API server and is not yet seen in the cache, by key of the job.
//
// Pure values: `now` is an argument; one thread. A cache lags behind the writes of its own program,
// so a plan made from it alone would create a pod a second time, or delete another one in place of
// one that is already going. While something is expected for a key, its plan waits.
//
// What is expected is named, never counted: events that come twice, out of order or not at all
// cannot make a counter drift. A creation is expected by the pod's name, because that is chosen by
// us and known before the request; a deletion by UID, because a name may come back. What was
// expected 5 minutes ago and never seen is given up: the watch has lost it, and a list taken since
// then is the truth.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/time.h"

namespace muster::kube {

class Expectations final {
 public:
  static constexpr base::Duration kExpiry = std::chrono::minutes(5);

  // Before the request is sent: its event may come before its answer.
  void ExpectCreation(base::Time now, const std::string& key, const std::string& name);
  void ExpectDeletion(base::Time now, const std::string& key, const std::string& uid);
  // The API server has refused: nothing will be seen. Not for a request without an answer.
  void CreationRefused(const std::string& key, const std::string& name);
  void DeletionRefused(const std::string& key, const std::string& uid);

  // The cache has the object; `deleting`: with a deletionTimestamp, which is all that a deletion
  // with a grace period does at first.
  void ObserveObject(const std::string& key, std::string_view name, std::string_view uid,
                     bool deleting);
  // The cache had it, or was told of it, and it is gone. A pod that came and went between two looks
  // fulfils its creation as well.
  void ObserveGone(const std::string& key, std::string_view name, std::string_view uid);
  // The job is gone.
  void Forget(const std::string& key) { keys_.erase(key); }

  struct Verdict {
    bool met = true;
    std::string reason;                  // what is waited for, when it is not met
    std::optional<base::Time> retry_at;  // look again then at the latest
    friend bool operator==(const Verdict&, const Verdict&) = default;
  };
  Verdict Check(base::Time now, const std::string& key) const;

  // Names of expected pods that the cache may lack, UIDs of those that it may still show.
  std::vector<std::string> ExpectedNames(base::Time now, const std::string& key) const;
  std::vector<std::string> ExpectedGone(base::Time now, const std::string& key) const;

  std::size_t size() const { return keys_.size(); }

 private:
  using Since = std::map<std::string, base::Time, std::less<>>;
  struct Expected {
    Since creations;  // by name
    Since deletions;  // by UID
  };
  template <typename Change>
  void ChangeKey(const std::string& key, Change change);

  std::map<std::string, Expected> keys_;
};

// How many to create at a time: 1, 2, 4, ... and never more than `most` in all. A quota that
// refuses everything then costs one request and not hundreds; after a refusal the rest is left.
std::vector<int> SlowStart(int wanted, int most = 500);

}  // namespace muster::kube

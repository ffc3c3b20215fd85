// An API server for tests, in this process: no etcd, no binaries, milliseconds to start.
//
// What it is for: the operator's client, informers, elector, record and reconcile run against it
// unchanged, and a test may do to them what a real cluster does once a year. What it claims to do as
// a real API server does is in contract_test.py, whose one table runs against both.
//
//   kinds.h       which kinds there are, and paths
//   selectors.h   label and field selectors
//   history.h     objects, versions, the window of changes, pages of a list
//   verbs*.h/.cc  create, get, list, update, patch, delete, evict, scale, review tokens
//   patch.h       JSON Patch, server-side apply with owned fields (simplified: sets of leaves)
//   faults.h      rules: delay, lose, break, refuse, reorder, repeat
//   api_double.h  the whole behind one lock, the log of writes, watches
//   http_front.h  sockets: HTTP/1.1 on port 0
//   transport.h   the same as a kube::HttpTransport, without sockets
//   players.h     garbage collector, scheduler, kubelets: stepped by the test
//   double_main.cc  the double as a program, for tests in other languages
//
// What it does not do: authentication and RBAC, admission, validation beyond a few fields (the real
// API server judges manifests), defaulting beyond what others go by, quotas, TLS.
//
// Safe from every thread. Requests are served one at a time.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "operator/base/time.h"
#include "operator/runtime/clock.h"
#include "operator/runtime/mutex.h"
#include "tests/kube/faults.h"
#include "tests/kube/verbs.h"

namespace muster::kubetest {

// One write that was served, whatever became of it; reads and watches are not in the log.
struct WriteRecord {
  int number = 0;  // from 1
  std::string verb;
  std::string resource;
  std::string subresource;
  std::string ns;
  std::string name;
  std::string manager;  // whose: fieldManager, or the user agent's name
  int code = 0;
  bool changed = false;  // there is a new version
};
// "3 create pods space/job-0-x 201": for messages and for the list of crash points.
std::string ToString(const WriteRecord& write);

class ApiDouble;

// One watch: what a front writes to its client, line by line. One thread.
class WatchStream final {
 public:
  struct Item {
    enum class What { kLine, kNothing, kEnd, kBreak };
    What what = What::kNothing;
    std::string line;  // without its line break; kBreak: the part that is still sent
  };
  // Waits until there is one or `deadline` (of RealClock) has passed: kNothing.
  Item Next(base::Time deadline);

 private:
  friend class ApiDouble;
  WatchStream(ApiDouble& api, Route route, Selectors selectors, bool bookmarks)
      : api_(api),
        route_(std::move(route)),
        selectors_(std::move(selectors)),
        bookmarks_(bookmarks) {}
  // With the double's lock held.
  std::optional<Item> Take() MUSTER_UNCHECKED_LOCKING;
  void Begin(bool from_now) MUSTER_UNCHECKED_LOCKING;
  void Deliver(const std::string& type, const Json& object) MUSTER_UNCHECKED_LOCKING;
  void Expire();
  std::string Bookmark(bool initial) const MUSTER_UNCHECKED_LOCKING;

  ApiDouble& api_;
  const Route route_;
  const Selectors selectors_;
  const bool bookmarks_;
  std::deque<Item> ready_;
  std::optional<Item> held_;   // comes after the next one
  std::uint64_t version_ = 0;  // everything up to it has been looked at
  int bookmarks_seen_ = 0;
  std::optional<base::Time> ends_at_;  // timeoutSeconds
};

class ApiDouble final {
 public:
  struct Options {
    std::size_t window = 1000;  // changes that a watch may still ask for
  };
  // `clock` stamps objects, and outlives it.
  ApiDouble(Options options, const runtime::Clock& clock);
  ApiDouble(const ApiDouble&) = delete;
  ApiDouble& operator=(const ApiDouble&) = delete;

  struct Served {
    enum class Ending { kWhole, kNoAnswer, kBroken };
    Answer answer;
    Ending ending = Ending::kWhole;
  };
  std::variant<Served, std::shared_ptr<WatchStream>> Serve(const Request& request);
  // A request of the test itself: no faults, and not in the log.
  Answer Ask(const std::string& method, const std::string& target, const Json& body = nullptr,
             const std::string& content_type = "application/json");

  // ---- for tests and players: objects as they are stored, without an API server's rules
  std::optional<Json> Find(const std::string& plural, const std::string& ns,
                           const std::string& name) const;
  std::vector<Json> All(const std::string& plural, const std::string& ns = "") const;
  // False: there is none, or nothing changed.
  bool Change(const std::string& plural, const std::string& ns, const std::string& name,
              const std::function<void(Json&)>& change);
  void Remove(const std::string& plural, const std::string& ns, const std::string& name);
  bool HasUid(const std::string& uid) const;
  void AddToken(const std::string& token, TokenOwner owner);

  // ---- faults
  int AddFault(FaultRule rule);
  int FaultCount(int rule) const;
  void ClearFaults();
  void Compact();        // watches from before now are told 410, pages expire
  void SendBookmarks();  // to every watch that allows them

  // ---- the log
  std::vector<WriteRecord> Writes() const;
  // Called after each write, its record in the log, before it is answered: where a crash-point test
  // kills. Not while the lock is held.
  void SetAfterWrite(std::function<void(const WriteRecord&)> after);

  std::uint64_t version() const;
  // Fronts end: whoever waits here returns.
  void Close();
  const runtime::Clock& clock() const { return core_.clock; }

 private:
  friend class WatchStream;
  std::variant<Served, std::shared_ptr<WatchStream>> OpenWatch(const Route& route,
                                                               const Request& request)
      MUSTER_REQUIRES(mutex_);
  Answer Dispatch(const Route& route, const Request& request) MUSTER_REQUIRES(mutex_);
  Answer DispatchSubresource(const Route& route, const Request& request) MUSTER_REQUIRES(mutex_);
  void WaitFor(base::Duration delay) MUSTER_REQUIRES(mutex_);

  mutable runtime::Mutex mutex_;
  runtime::Condition changed_;
  Core core_;
  Faults faults_ MUSTER_GUARDED_BY(mutex_);
  std::vector<WriteRecord> writes_ MUSTER_GUARDED_BY(mutex_);
  std::function<void(const WriteRecord&)> after_write_ MUSTER_GUARDED_BY(mutex_);
  int bookmarks_ MUSTER_GUARDED_BY(mutex_) = 0;
  bool closed_ MUSTER_GUARDED_BY(mutex_) = false;
};

}  // namespace muster::kubetest

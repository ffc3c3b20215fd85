// Where a list-and-watch stands, and what it does next. Pure: `now` is not asked, chance is passed.
//
//              page with more to come
//              .------.
//              v      |
//   Empty --> Listing-'          a page is kept until the last has come, then all replace the store
//     ^         |
//     |         | last page: its version
//     |         v
//     |      Watching(version) <--.   each event and bookmark moves the version on;
//     |         |      |          |   ended, broken off or silent: the same version again
//     |         |      '----------'
//     '---------'
//      410 (at the door, as an ERROR event, for a continue token), or an object without a version
//
// An error comes together with the next state, so that nothing can be forgotten between the two.
// Waits double from one failure to the next and go back to nothing when something has been heard.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "operator/base/rng.h"
#include "operator/base/time.h"
#include "operator/kube/api_error.h"

namespace muster::kube {

// The server ends a watch by itself; silent for this much longer, and it is dead.
inline constexpr base::Duration kIdleSlack = std::chrono::seconds(5);

struct WatchSettings {
  // The first list: everything that was written before it (a consistent read), or what the server's
  // cache has, which is cheaper and may be old. Lists after a 410 are always consistent.
  bool consistent_first = true;
  // A page is decoded whole: of 500 pods it takes some 40 MB for a moment, and the heap keeps them.
  std::int64_t page_size = 100;
  // Short, because a server that hangs with its connection up is found by nothing but the idle
  // timeout, which is this plus kIdleSlack; going on from the last version costs one request. Up to
  // a fifth is added by chance, so that a thousand watches do not end together.
  base::Duration server_timeout = std::chrono::seconds(60);
  base::Duration least_wait = std::chrono::milliseconds(200);
  base::Duration most_wait = std::chrono::seconds(30);
  friend bool operator==(const WatchSettings&, const WatchSettings&) = default;
};

// ---- where it stands

// Nothing is known.
struct Empty {
  bool consistent = true;  // how to ask for the first page
  bool whole = false;  // without pages: a continue token has expired before its list was through
  friend bool operator==(const Empty&, const Empty&) = default;
};
struct Listing {
  std::string continue_token;  // never empty
  friend bool operator==(const Listing&, const Listing&) = default;
};
struct Watching {
  std::string version;  // never empty
  friend bool operator==(const Watching&, const Watching&) = default;
};
using WatchStand = std::variant<Empty, Listing, Watching>;

// ---- what to do next, after `wait`

struct AskPage {
  std::int64_t limit = 0;
  std::string continue_token;
  std::string resource_version;  // "" consistent, "0" from the cache
  friend bool operator==(const AskPage&, const AskPage&) = default;
};
struct OpenWatch {
  std::string version;
  base::Duration server_timeout{0};
  base::Duration idle_timeout{0};
  friend bool operator==(const OpenWatch&, const OpenWatch&) = default;
};
struct WatchAct {
  base::Duration wait{0};
  std::variant<AskPage, OpenWatch> what;
  friend bool operator==(const WatchAct&, const WatchAct&) = default;
};

// ---- what has happened

struct PageCame {
  std::string version;
  std::string continue_token;
};
struct PageFailed {
  ApiError error;
};
enum class ObjectChange { kAdded, kModified, kDeleted };
struct ObjectSeen {
  ObjectChange change = ObjectChange::kAdded;
  std::string version;
};
struct BookmarkSeen {
  std::string version;
};
// At the door or as an ERROR event; the stream is given up.
struct WatchRefused {
  ApiError error;
};
// The server has ended it, or it broke off (`problem`), or it was silent for too long (`problem`).
struct WatchOver {
  base::Duration lasted{0};
  std::string problem;  // empty: ended well
};
using WatchInput =
    std::variant<PageCame, PageFailed, ObjectSeen, BookmarkSeen, WatchRefused, WatchOver>;

// ---- what it means for the store

enum class StoreEffect {
  kNothing,
  kKeepPage,  // the page's items belong to the list in progress
  kReplace,   // with this page's items the list is complete: it replaces what the store has
  kForget,    // the list in progress is void
  kPut,       // this object
  kRemove,    // this object
};
struct WatchOutcome {
  StoreEffect effect = StoreEffect::kNothing;
  bool leave_stream = false;  // the open watch is of no use any more
  std::string problem;        // for the log; empty: all is well
  friend bool operator==(const WatchOutcome&, const WatchOutcome&) = default;
};

class WatchState {
 public:
  explicit WatchState(WatchSettings settings);

  // The last input decided it; the same until the next.
  const WatchAct& next() const { return next_; }
  const WatchStand& stand() const { return stand_; }
  // Failures since something was last heard.
  int failures() const { return failures_; }

  WatchOutcome On(const WatchInput& input, base::SplitMix& chance);

 private:
  WatchOutcome OnPage(const PageCame& page, base::SplitMix& chance);
  WatchOutcome OnPageFailed(const PageFailed& failed, base::SplitMix& chance);
  WatchOutcome OnObject(const ObjectSeen& seen, base::SplitMix& chance);
  WatchOutcome OnBookmark(const BookmarkSeen& seen, base::SplitMix& chance);
  WatchOutcome OnRefused(const WatchRefused& refused, base::SplitMix& chance);
  WatchOutcome OnOver(const WatchOver& over, base::SplitMix& chance);

  void Heard();
  void Plan(base::Duration wait, base::SplitMix& chance);
  base::Duration NextWait(const ApiError& error, base::SplitMix& chance);
  WatchOutcome StartAgain(bool whole, bool at_once, std::string problem, base::SplitMix& chance);

  const WatchSettings settings_;
  WatchStand stand_;
  WatchAct next_;
  int failures_ = 0;
  bool heard_in_stream_ = false;
};

}  // namespace muster::kube

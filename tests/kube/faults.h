// Faults by rule: what happens to which request, and to which event of a watch.
//
// A rule matches by verb, resource, name and subresource (empty: any), and acts on its nth match,
// or on each. Values and counting only; ApiDouble and its fronts obey.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "operator/base/time.h"
#include "tests/kube/kinds.h"

namespace muster::kubetest {

// What is done to a request.
struct Delay {  // served only after so long
  base::Duration by{0};
};
struct LoseRequest {};  // never served; the connection closes without an answer
struct LoseAnswer {};   // served, and the connection closes without an answer
struct CloseInBody {};  // served; the connection closes in the middle of the body
struct AnswerWith {     // not served: 409, 410, 422, 429, 500, 503, ...
  int code = 500;
  int retry_after_seconds = 0;  // 0: no such header
};
// What is done to an event of a watch (verb "event", which also has its type as `event`).
struct DropEvent {};
struct RepeatEvent {};
struct HoldEvent {};    // comes after the next one: reordered
struct EndWatch {};     // the stream ends well, without the event
struct BreakWatch {};   // the connection closes in the middle of the event's line
struct ExpireWatch {};  // an ERROR event with 410 in its place, and the end

using FaultAction = std::variant<Delay, LoseRequest, LoseAnswer, CloseInBody, AnswerWith, DropEvent,
                                 RepeatEvent, HoldEvent, EndWatch, BreakWatch, ExpireWatch>;

struct FaultRule {
  std::string verb = {};      // get, list, watch, create, update, patch, delete; or event
  std::string resource = {};  // plural
  std::string name = {};
  std::string subresource = {};
  std::string event = {};  // ADDED, MODIFIED, DELETED, BOOKMARK
  int nth = 1;             // counted from 1; 0: from the first on
  int times = 1;           // so many matches from the nth on; 0: all
  FaultAction action = AnswerWith{};
};

// What is matched against the rules.
struct Occasion {
  std::string verb = {};
  std::string resource = {};
  std::string name = {};
  std::string subresource = {};
  std::string event = {};
};

class Faults final {
 public:
  // Gives a number by which Count tells how often it has acted.
  int Add(FaultRule rule);
  void Clear();  // their counts stay
  // Every rule that matches counts; the first whose turn it is acts. None: nothing happens.
  const FaultAction* Next(const Occasion& occasion);
  int Count(int rule) const { return rules_[static_cast<std::size_t>(rule)].acted; }

 private:
  struct Rule {
    FaultRule rule = {};
    int seen = 0;
    int acted = 0;
    bool off = false;
  };
  std::vector<Rule> rules_;
};

}  // namespace muster::kubetest

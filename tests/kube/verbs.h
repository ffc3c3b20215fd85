// What an API server does with each verb: functions over the objects, without faults, threads and
// sockets. One file per family of verbs.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "operator/runtime/clock.h"
#include "tests/kube/answer.h"
#include "tests/kube/history.h"

namespace muster::kubetest {

// What a TokenReview says of a token.
struct TokenOwner {
  std::string username;
  std::string uid;
  std::vector<std::string> audiences;
  std::map<std::string, std::vector<std::string>> extra;
};

struct Core {
  Core(std::size_t window, const runtime::Clock& c) : history(window), clock(c) {}
  std::string Now() const { return Rfc3339(clock.WallNow()); }
  // New for each object: what the same name had before is another object.
  std::string NewUid();

  History history;
  const runtime::Clock& clock;
  std::map<std::string, TokenOwner> tokens;
  std::uint64_t uids = 0;
};

// ---- verbs_read.cc
Answer Get(const Core& core, const Route& route);
Answer List(Core& core, const Route& route, const Request& request);
// As it stands in a list: built-in kinds leave out apiVersion and kind there.
Json Stamped(const Kind& kind, Json object);

// ---- verbs_create.cc
Answer Create(Core& core, const Route& route, const Request& request);

// ---- verbs_write.cc
Answer Update(Core& core, const Route& route, const Request& request);
Answer Patch(Core& core, const Route& route, const Request& request);
// The one way in which an existing object changes: keeps what may not change, splits status from
// the rest, checks version and UID, counts the generation, ends what was only waiting for its last
// finalizer, and writes nothing when nothing changed.
struct Commit {
  std::string subresource;
  std::string manager;
  bool dry_run = false;
  bool applied = false;  // server-side apply has seen to the owners already
  bool put = false;      // a whole object: custom resources need a resource version then
};
Answer CommitChange(Core& core, const Kind& kind, const Json& before, Json after,
                    const Commit& commit);

// ---- verbs_delete.cc
Answer Delete(Core& core, const Route& route, const Request& request);
Answer DeleteCollection(Core& core, const Route& route, const Request& request);
Answer Evict(Core& core, const Route& route, const Request& request);

// ---- verbs_special.cc
Answer GetScale(const Core& core, const Route& route);
Answer WriteScale(Core& core, const Route& route, const Request& request);
Answer ReviewToken(Core& core, const Request& request);
Answer Bind(Core& core, const Route& route, const Request& request);
// /version, /readyz and discovery of one group version. Nothing: no such page.
std::optional<Answer> Page(const Request& request);

// ---- shared
std::string ManagerOf(const Request& request);
bool IsDryRun(const Request& request);
// BadRequest when the body is no JSON object.
std::optional<Json> BodyOf(const Request& request, Answer* refusal);
bool IsReady(const Json& pod);

}  // namespace muster::kubetest

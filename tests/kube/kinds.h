// The kinds that the API-server double knows, and the paths under which it serves them.
//
// Values only. Group, version and names are those of a real API server; what hangs on a kind (a
// status subresource, what counts as spec) is what decides how a write of it behaves.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muster::kubetest {

using Json = nlohmann::json;

struct Kind {
  std::string_view group = {};  // empty: core
  std::string_view version = {};
  std::string_view plural = {};
  std::string_view kind = {};
  bool namespaced = true;
  bool status = false;      // has a status subresource: a write to one leaves the other alone
  bool scale = false;       // has a scale subresource
  bool custom = false;      // a custom resource: stricter updates, other answers to a deletion
  bool generation = false;  // metadata.generation counts changes of what it wants
  bool returned = false;    // a deletion answers with the object
  bool created_by_put = false;
};

const std::vector<Kind>& Kinds();
const Kind* FindKind(std::string_view group, std::string_view version, std::string_view plural);
// By plural name alone: for tests and players. A bug (CHECK) when there is none.
const Kind& KindOf(std::string_view plural);
std::string ApiVersionOf(const Kind& kind);
// "pods", "leases.coordination.k8s.io": what error messages call it.
std::string QualifiedName(const Kind& kind);

using Query = std::map<std::string, std::string>;

// Where a request goes.
struct Route {
  const Kind* kind = nullptr;
  std::string ns;           // empty: all namespaces, or a kind without
  std::string name;         // empty: the collection
  std::string subresource;  // empty: the object itself
};

// What is behind "?", decoded.
Query ParseQuery(std::string_view text);
// Nothing: no such path.
std::optional<Route> ParsePath(std::string_view path);

}  // namespace muster::kubetest

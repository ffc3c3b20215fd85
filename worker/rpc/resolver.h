// Where coordinators are right now: HOST:PORT into the addresses to dial.
//
// A headless Service has one address a coordinator's pod, and any of them may belong to a node that
// is dead: all are dialled. Names are asked for anew for each attempt, at most `limit` is waited
// for, and a name that nobody can tell keeps the addresses it had last: the node that died may have
// answered names as well. Thread rule: one thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "operator/base/status.h"
#include "operator/base/time.h"

namespace muster::rpc {

// InvalidArgument when `address` is not HOST:PORT with a port from 1 to 65535.
absl::Status CheckAddress(const std::string& address);

// One way to a coordinator.
struct Endpoint {
  std::string target;  // ADDRESS:PORT, for the connection; IPv6 in brackets
  std::string name;    // the host part as it was given: whom TLS must find there
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// Asks for the addresses of names.
class NameService {
 public:
  virtual ~NameService() = default;
  // The addresses of each host, or why there are none. Returns after `limit`, or soon after
  // `give_up` says so; who has no answer by then is DeadlineExceeded.
  virtual std::map<std::string, absl::StatusOr<std::vector<std::string>>> Ask(
      const std::vector<std::string>& hosts, base::Duration limit,
      const std::function<bool()>& give_up) = 0;
};

// The machine's own: files, DNS, and whatever else its libc asks.
std::shared_ptr<NameService> MakeNameService();

class Resolver final {
 public:
  // `addresses` have passed CheckAddress.
  Resolver(std::vector<std::string> addresses, std::shared_ptr<NameService> names);

  // At most kMostEndpoints, each once, literal addresses first. `trouble` gets a sentence of names
  // that have no address at all.
  std::vector<Endpoint> Resolve(base::Duration limit, const std::function<bool()>& give_up,
                                std::string* trouble);

  static constexpr std::size_t kMostEndpoints = 32;

 private:
  struct Place {
    std::string host;  // without brackets
    std::string port;
    bool literal;
  };

  std::vector<Place> places_;
  std::shared_ptr<NameService> names_;
  std::map<std::string, std::vector<std::string>> last_known_;
};

}  // namespace muster::rpc

#include "worker/rpc/resolver.h"

#include <arpa/inet.h>
#include <netdb.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

#include "operator/base/check.h"

namespace muster::rpc {
namespace {

// How often the machine's names are looked at for somebody giving up.
constexpr base::Duration kSlice = std::chrono::milliseconds(20);

bool IsLiteral(const std::string& host) {
  in6_addr any;
  return inet_pton(AF_INET, host.c_str(), &any) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &any) == 1;
}

std::string TargetOf(const std::string& address, const std::string& port) {
  const bool six = address.find(':') != std::string::npos;
  return (six ? "[" + address + "]" : address) + ":" + port;
}

// One question to libc that goes on by itself. libc has no way to end one that waits for a server.
struct Question {
  explicit Question(const std::string& name) : host(name) {
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    request.ar_name = host.c_str();
    request.ar_request = &hints;
  }
  ~Question() {
    if (request.ar_result != nullptr) freeaddrinfo(request.ar_result);
  }
  bool answered() { return gai_error(&request) != EAI_INPROGRESS; }

  const std::string host;
  addrinfo hints{};
  gaicb request{};
};

absl::StatusOr<std::vector<std::string>> AnswerTo(Question& question) {
  if (const int error = gai_error(&question.request); error != 0) {
    return base::Unavailable("'" + question.host + "' has no address: " + gai_strerror(error));
  }
  std::vector<std::string> addresses;
  for (const addrinfo* at = question.request.ar_result; at != nullptr; at = at->ai_next) {
    char text[NI_MAXHOST] = "";
    if (getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) ==
        0) {
      addresses.emplace_back(text);
    }
  }
  return addresses;
}

class LibcNames final : public NameService {
 public:
  ~LibcNames() override {
    for (auto& [host, question] : open_) {
      // libc still writes into it: it stays, a few hundred bytes at the end of the process.
      if (gai_cancel(&question->request) == EAI_NOTCANCELED) question.release();
    }
  }

  std::map<std::string, absl::StatusOr<std::vector<std::string>>> Ask(
      const std::vector<std::string>& hosts, base::Duration limit,
      const std::function<bool()>& give_up) override {
    std::map<std::string, absl::StatusOr<std::vector<std::string>>> answers;
    for (const std::string& host : hosts) {
      if (auto begun = Begin(host); !begun.ok()) answers.emplace(host, std::move(begun));
    }
    for (base::Duration waited{0}; waited < limit && !give_up() && WaitASlice(); waited += kSlice) {
    }
    for (auto it = open_.begin(); it != open_.end();) {
      const bool answered = it->second->answered();
      answers.emplace(it->first, answered
                                     ? AnswerTo(*it->second)
                                     : base::DeadlineExceeded(
                                           "'" + it->first + "': no name server has answered yet"));
      it = answered ? open_.erase(it) : std::next(it);
    }
    return answers;
  }

 private:
  // One question a name: a name server that is away must not collect them.
  absl::Status Begin(const std::string& host) {
    if (open_.contains(host)) return absl::OkStatus();
    auto question = std::make_unique<Question>(host);
    gaicb* list[] = {&question->request};
    if (const int error = getaddrinfo_a(GAI_NOWAIT, list, 1, nullptr); error != 0) {
      return base::Unavailable("'" + host + "' cannot be looked up: " + gai_strerror(error));
    }
    open_.emplace(host, std::move(question));
    return absl::OkStatus();
  }

  // False: all are answered.
  bool WaitASlice() {
    std::vector<const gaicb*> waiting;
    for (const auto& [host, question] : open_) waiting.push_back(&question->request);
    const timespec slice{0, kSlice.count()};
    return gai_suspend(waiting.data(), static_cast<int>(waiting.size()), &slice) != EAI_ALLDONE;
  }

  std::map<std::string, std::unique_ptr<Question>> open_;
};

}  // namespace

absl::Status CheckAddress(const std::string& address) {
  const auto colon = address.rfind(':');
  const std::string port = colon == std::string::npos ? "" : address.substr(colon + 1);
  const bool digits = !port.empty() && port.size() <= 5 &&
                      port.find_first_not_of("0123456789") == std::string::npos;
  if (colon == 0 || !digits || std::stoi(port) == 0 || std::stoi(port) > 65535) {
    return base::InvalidArgument("coordinator address '" + address +
                                 "' is not HOST:PORT with a port from 1 to 65535");
  }
  return absl::OkStatus();
}

std::shared_ptr<NameService> MakeNameService() { return std::make_shared<LibcNames>(); }

Resolver::Resolver(std::vector<std::string> addresses, std::shared_ptr<NameService> names)
    : names_(std::move(names)) {
  for (const std::string& address : addresses) {
    const auto colon = address.rfind(':');
    MUSTER_CHECK(colon != std::string::npos, "an address without a port");
    std::string host = address.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
      host = host.substr(1, host.size() - 2);
    }
    const bool literal = IsLiteral(host);
    places_.push_back({std::move(host), address.substr(colon + 1), literal});
  }
  std::ranges::stable_partition(places_, &Place::literal);
}

std::vector<Endpoint> Resolver::Resolve(base::Duration limit, const std::function<bool()>& give_up,
                                        std::string* trouble) {
  std::vector<std::string> hosts;
  for (const Place& place : places_) {
    if (!place.literal) hosts.push_back(place.host);
  }
  std::map<std::string, absl::StatusOr<std::vector<std::string>>> answers;
  if (!hosts.empty()) answers = names_->Ask(hosts, limit, give_up);
  std::vector<Endpoint> endpoints;
  const auto add = [&](const std::string& address, const Place& place) {
    Endpoint endpoint{TargetOf(address, place.port), place.host};
    if (endpoints.size() < kMostEndpoints &&
        std::ranges::find(endpoints, endpoint) == endpoints.end()) {
      endpoints.push_back(std::move(endpoint));
    }
  };
  for (const Place& place : places_) {
    if (place.literal) {
      add(place.host, place);
      continue;
    }
    const auto answer = answers.find(place.host);
    std::vector<std::string>& known = last_known_[place.host];
    if (answer != answers.end() && answer->second.ok() && !answer->second->empty()) {
      known = *answer->second;
    } else if (known.empty()) {
      *trouble = answer == answers.end() || answer->second.ok()
                     ? "'" + place.host + "' has no address"
                     : base::Message(answer->second.status());
    }
    for (const std::string& address : known) add(address, place);
  }
  return endpoints;
}

}  // namespace muster::rpc

#include "worker/rpc/resolver.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <signal.h>

#include <algorithm>
#include <utility>

#include "operator/base/check.h"
#include "operator/runtime/clock.h"
#include "operator/runtime/mutex.h"

namespace muster::rpc {
namespace {

using runtime::Condition;
using runtime::Mutex;
using runtime::MutexLock;

// How often it is asked whether somebody gives up.
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

// One question to libc that goes on by itself: libc has no way to end one that waits for a server.
// It belongs to who asked and to libc, and lives until both have let go of it.
//
// libc tells the end by a thread that it makes for that. Its gai_suspend is not used: it leaves its
// list of waiters, which is on the caller's stack, to libc's thread when it returns in the instant
// in which an answer comes (glibc 2.36; seen as a crash with two names).
class Question {
 public:
  explicit Question(const std::string& name) : host_(name) {
    hints_.ai_family = AF_UNSPEC;
    hints_.ai_socktype = SOCK_STREAM;
    request_.ar_name = host_.c_str();
    request_.ar_request = &hints_;
  }
  ~Question() {
    if (request_.ar_result != nullptr) freeaddrinfo(request_.ar_result);
  }
  Question(const Question&) = delete;
  Question& operator=(const Question&) = delete;

  static absl::StatusOr<std::shared_ptr<Question>> Begin(const std::string& host) {
    auto question = std::make_shared<Question>(host);
    gaicb* list[] = {&question->request_};
    sigevent when_done{};
    when_done.sigev_notify = SIGEV_THREAD;
    when_done.sigev_notify_function = [](sigval value) {
      const std::unique_ptr<std::shared_ptr<Question>> mine(
          static_cast<std::shared_ptr<Question>*>(value.sival_ptr));
      MutexLock lock((*mine)->mutex_);
      (*mine)->done_ = true;
      (*mine)->changed_.NotifyAll();
    };
    // Told also when it could not begin.
    when_done.sigev_value.sival_ptr = new std::shared_ptr<Question>(question);
    if (const int error = getaddrinfo_a(GAI_NOWAIT, list, 1, &when_done); error != 0) {
      return base::Unavailable("'" + host + "' cannot be looked up: " + gai_strerror(error));
    }
    return question;
  }

  // False: not yet.
  bool AwaitUntil(base::Time deadline) {
    MutexLock lock(mutex_);
    while (!done_) {
      if (!changed_.WaitUntil(mutex_, deadline)) break;
    }
    return done_;
  }

  // Of one that is done.
  absl::StatusOr<std::vector<std::string>> Answer() {
    if (const int error = gai_error(&request_); error != 0) {
      return base::Unavailable("'" + host_ + "' has no address: " + gai_strerror(error));
    }
    std::vector<std::string> addresses;
    for (const addrinfo* at = request_.ar_result; at != nullptr; at = at->ai_next) {
      char text[NI_MAXHOST] = "";
      if (getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof(text), nullptr, 0,
                      NI_NUMERICHOST) == 0) {
        addresses.emplace_back(text);
      }
    }
    return addresses;
  }

 private:
  const std::string host_;
  addrinfo hints_{};
  gaicb request_{};
  Mutex mutex_;
  Condition changed_;
  bool done_ MUSTER_GUARDED_BY(mutex_) = false;
};

class LibcNames final : public NameService {
 public:
  std::map<std::string, absl::StatusOr<std::vector<std::string>>> Ask(
      const std::vector<std::string>& hosts, base::Duration limit,
      const std::function<bool()>& give_up) override {
    std::map<std::string, absl::StatusOr<std::vector<std::string>>> answers;
    const base::Time deadline = clock_.Now() + limit;
    for (const std::string& host : hosts) {
      // One question a name: a name server that is away must not collect them.
      if (open_.contains(host)) continue;
      auto begun = Question::Begin(host);
      if (begun.ok()) {
        open_.emplace(host, *std::move(begun));
      } else {
        answers.emplace(host, begun.status());
      }
    }
    for (auto it = open_.begin(); it != open_.end();) {
      if (AwaitAnswer(*it->second, deadline, give_up)) {
        answers.emplace(it->first, it->second->Answer());
        it = open_.erase(it);
      } else {
        answers.emplace(it->first, base::DeadlineExceeded("'" + it->first +
                                                          "': no name server has answered yet"));
        ++it;
      }
    }
    return answers;
  }

 private:
  bool AwaitAnswer(Question& question, base::Time deadline, const std::function<bool()>& give_up) {
    while (true) {
      const base::Time now = clock_.Now();
      if (question.AwaitUntil(std::min(deadline, now + kSlice))) return true;
      if (now >= deadline || give_up()) return false;
    }
  }

  const runtime::RealClock clock_;
  std::map<std::string, std::shared_ptr<Question>> open_;
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

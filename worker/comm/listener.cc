#include "worker/comm/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <list>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "operator/runtime/mutex.h"

namespace muster::comm {
namespace {

// Comparing every byte, so that the time taken does not tell how much of a guess was right.
bool SameSecret(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]);
  }
  return difference == 0;
}

// After an accept for which this process had no descriptor or the system no memory.
constexpr base::Duration kAcceptPause = std::chrono::milliseconds(100);

bool IsRing(Kind kind) { return kind != Kind::kState; }

}  // namespace

struct DataListener::State {
  struct Greeted {  // a socket whose greeting is being read
    UniqueFd fd;
    std::string bytes;
    base::Time deadline;
  };
  struct Parked {
    UniqueFd fd;
    Greeting greeting;
    base::Time deadline;
  };

  ListenerOptions options;
  std::string address;
  UniqueFd listening;
  AbortFlag stop;
  std::list<Greeted> greeted;  // the listener's thread alone

  mutable runtime::Mutex mutex;
  std::map<std::pair<Kind, base::Epoch>, Handler> handlers MUSTER_GUARDED_BY(mutex);
  std::map<Kind, Handler> kind_handlers MUSTER_GUARDED_BY(mutex);
  std::list<Parked> parked MUSTER_GUARDED_BY(mutex);
  base::Epoch oldest MUSTER_GUARDED_BY(mutex);
  std::int64_t refused MUSTER_GUARDED_BY(mutex) = 0;
  std::thread thread;

  // No descriptor was left for a peer: poll would say at once that it still waits.
  base::Time accept_from{};  // the listener's thread alone

  void Run();
  void Accept();
  bool ReadGreeting(Greeted& g);  // true: done with it
  void Settle(UniqueFd fd, const Greeting& greeting);
  const Handler* Find(const Greeting& greeting) const MUSTER_REQUIRES(mutex);
  static void Welcome(const Handler& handler, UniqueFd fd, const Greeting& greeting);
  void Refuse(int fd, Verdict verdict, const std::string& sentence) MUSTER_REQUIRES(mutex);
  void Expire();
  void HandOutParked() MUSTER_REQUIRES(mutex);
  std::pair<Verdict, std::string> Judge(const Greeting& greeting) const MUSTER_REQUIRES(mutex);
};

absl::StatusOr<std::unique_ptr<DataListener>> DataListener::Create(ListenerOptions options) {
  auto state = std::make_unique<State>();
  sockaddr_in local{};
  local.sin_family = AF_INET;
  local.sin_port = htons(options.port);
  if (inet_pton(AF_INET, options.bind_host.c_str(), &local.sin_addr) != 1) {
    return base::InvalidArgument("data-plane host '" + options.bind_host +
                                 "' is not an IPv4 address");
  }
  if (options.job_uid.size() > kMaxNameBytes || options.token.size() > kMaxNameBytes) {
    return base::InvalidArgument("job uid and token may have at most 512 bytes");
  }
  state->listening = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!state->listening) return base::ResourceExhausted("socket: " + base::ErrnoText(errno));
  const int one = 1;
  setsockopt(state->listening.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  const std::string where = options.bind_host + ":" + std::to_string(options.port);
  if (bind(state->listening.get(), reinterpret_cast<sockaddr*>(&local), sizeof(local)) != 0 ||
      listen(state->listening.get(), 256) != 0) {
    return base::Unavailable("cannot listen on " + where +
                             " for the data plane: " + base::ErrnoText(errno));
  }
  socklen_t length = sizeof(local);
  getsockname(state->listening.get(), reinterpret_cast<sockaddr*>(&local), &length);
  state->address = (options.advertise_host.empty() ? options.bind_host : options.advertise_host) +
                   ":" + std::to_string(ntohs(local.sin_port));
  state->options = std::move(options);
  state->thread = std::thread([s = state.get()] { s->Run(); });
  return std::unique_ptr<DataListener>(new DataListener(std::move(state)));
}

DataListener::DataListener(std::unique_ptr<State> state) : state_(std::move(state)) {}
DataListener::~DataListener() {
  state_->stop.Set();
  state_->thread.join();
}

const std::string& DataListener::address() const { return state_->address; }
const std::string& DataListener::job_uid() const { return state_->options.job_uid; }
const std::string& DataListener::token() const { return state_->options.token; }

void DataListener::State::Run() {
  while (!stop.is_set()) {
    std::vector<pollfd> fds = {{stop.fd(), POLLIN, 0}};
    // When too many are half greeted, new ones wait in the kernel's queue.
    const bool accepting = greeted.size() < kMaxGreeting && Now() >= accept_from;
    fds.push_back({accepting ? listening.get() : -1, POLLIN, 0});
    for (const Greeted& g : greeted) fds.push_back({g.fd.get(), POLLIN, 0});
    // The timeout serves deadlines of greetings and parked sockets, in steps of 20 ms when there
    // are any.
    bool waiting = !greeted.empty() || !accepting;
    {
      runtime::MutexLock lock(mutex);
      waiting = waiting || !parked.empty();
    }
    poll(fds.data(), fds.size(), waiting ? 20 : 200);
    if (stop.is_set()) return;
    std::size_t i = 2;
    for (auto it = greeted.begin(); it != greeted.end(); ++i) {
      const bool done = fds[i].revents != 0 ? ReadGreeting(*it) : false;
      it = done ? greeted.erase(it) : std::next(it);
    }
    if (fds[1].revents != 0) Accept();
    Expire();
  }
}

void DataListener::State::Accept() {
  while (greeted.size() < kMaxGreeting) {
    UniqueFd fd(accept4(listening.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        accept_from = Now() + kAcceptPause;
      }
      return;
    }
    TuneSocket(fd.get(), 0);
    greeted.push_back({std::move(fd), "", Now() + options.greeting_time});
    // Mostly the greeting is already there.
    if (ReadGreeting(greeted.back())) greeted.pop_back();
  }
}

bool DataListener::State::ReadGreeting(Greeted& g) {
  for (;;) {
    std::size_t wanted = kGreetingFixedBytes;
    if (g.bytes.size() >= kGreetingFixedBytes) {
      const auto length = GreetingLength(g.bytes);
      if (!length.ok()) {
        runtime::MutexLock lock(mutex);
        Refuse(g.fd.get(), Verdict::kOtherVersion, base::Message(length.status()));
        return true;
      }
      wanted = *length;
    }
    if (g.bytes.size() == wanted && wanted >= kGreetingFixedBytes) break;
    char buffer[kGreetingFixedBytes + 2 * kMaxNameBytes];
    // Never a byte more than the greeting: what follows belongs to whoever gets the socket.
    const ssize_t n = recv(g.fd.get(), buffer, wanted - g.bytes.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (n <= 0) return true;
    g.bytes.append(buffer, static_cast<std::size_t>(n));
  }
  const auto greeting = DecodeGreeting(g.bytes);
  if (!greeting.ok()) {
    runtime::MutexLock lock(mutex);
    Refuse(g.fd.get(), Verdict::kOtherVersion, base::Message(greeting.status()));
    return true;
  }
  Settle(std::move(g.fd), *greeting);
  return true;
}

std::pair<Verdict, std::string> DataListener::State::Judge(const Greeting& greeting) const {
  const std::string who = "member " + base::ToString(greeting.member);
  if (greeting.job_uid != options.job_uid) {
    return {Verdict::kOtherJob, who + " is of job '" + greeting.job_uid.substr(0, 64) +
                                    "', this member of '" + options.job_uid.substr(0, 64) + "'"};
  }
  if (!SameSecret(greeting.token, options.token)) {
    return {Verdict::kBadToken, who + " came with a wrong token"};
  }
  if (IsRing(greeting.kind) && greeting.epoch < oldest) {
    return {Verdict::kStaleEpoch, who + " came for epoch " + std::to_string(greeting.epoch.value) +
                                      ", this member is at " + std::to_string(oldest.value)};
  }
  return {Verdict::kWelcome, ""};
}

void DataListener::State::Settle(UniqueFd fd, const Greeting& greeting) {
  runtime::MutexLock lock(mutex);
  if (const auto [verdict, sentence] = Judge(greeting); verdict != Verdict::kWelcome) {
    Refuse(fd.get(), verdict, sentence);
    return;
  }
  if (const Handler* handler = Find(greeting)) {
    Welcome(*handler, std::move(fd), greeting);
    return;
  }
  if (parked.size() >= kMaxParked) {
    Refuse(parked.front().fd.get(), Verdict::kBusy, "too many peers are waiting for their epoch");
    parked.pop_front();
  }
  parked.push_back({std::move(fd), greeting, Now() + options.park_time});
}

const DataListener::Handler* DataListener::State::Find(const Greeting& greeting) const {
  if (const auto it = handlers.find({greeting.kind, greeting.epoch}); it != handlers.end()) {
    return &it->second;
  }
  const auto it = kind_handlers.find(greeting.kind);
  return it == kind_handlers.end() ? nullptr : &it->second;
}

// The answer is two bytes on a socket that has sent nothing yet: it always fits.
void DataListener::State::Welcome(const Handler& handler, UniqueFd fd, const Greeting& greeting) {
  const std::string answer = EncodeAnswer(Verdict::kWelcome, "");
  send(fd.get(), answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  handler(std::move(fd), greeting);
}

void DataListener::State::Refuse(int fd, Verdict verdict, const std::string& sentence) {
  ++refused;
  const std::string answer = EncodeAnswer(verdict, sentence);
  send(fd, answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (options.on_refused) options.on_refused("data plane refused a peer: " + sentence);
}

void DataListener::State::Expire() {
  const base::Time now = Now();
  greeted.remove_if([&](const Greeted& g) { return g.deadline <= now; });
  runtime::MutexLock lock(mutex);
  while (!parked.empty() && parked.front().deadline <= now) {
    const Greeting& g = parked.front().greeting;
    Refuse(parked.front().fd.get(), Verdict::kBusy,
           "member " + base::ToString(g.member) + " waited in vain for epoch " +
               std::to_string(g.epoch.value));
    parked.pop_front();
  }
}

void DataListener::State::HandOutParked() {
  for (auto it = parked.begin(); it != parked.end();) {
    if (const Handler* handler = Find(it->greeting)) {
      Welcome(*handler, std::move(it->fd), it->greeting);
      it = parked.erase(it);
    } else {
      ++it;
    }
  }
}

void DataListener::Register(Kind kind, base::Epoch epoch, Handler handler) {
  runtime::MutexLock lock(state_->mutex);
  state_->handlers[{kind, epoch}] = std::move(handler);
  state_->HandOutParked();
}

void DataListener::RegisterKind(Kind kind, Handler handler) {
  runtime::MutexLock lock(state_->mutex);
  state_->kind_handlers[kind] = std::move(handler);
  state_->HandOutParked();
}

void DataListener::Unregister(Kind kind, base::Epoch epoch) {
  runtime::MutexLock lock(state_->mutex);
  state_->handlers.erase({kind, epoch});
}

void DataListener::UnregisterKind(Kind kind) {
  runtime::MutexLock lock(state_->mutex);
  state_->kind_handlers.erase(kind);
}

void DataListener::Fence(base::Epoch oldest) {
  runtime::MutexLock lock(state_->mutex);
  state_->oldest = std::max(state_->oldest, oldest);
  for (auto it = state_->parked.begin(); it != state_->parked.end();) {
    const auto [verdict, sentence] = state_->Judge(it->greeting);
    if (verdict == Verdict::kWelcome) {
      ++it;
      continue;
    }
    state_->Refuse(it->fd.get(), verdict, sentence);
    it = state_->parked.erase(it);
  }
}

std::int64_t DataListener::refused() const {
  runtime::MutexLock lock(state_->mutex);
  return state_->refused;
}

}  // namespace muster::comm

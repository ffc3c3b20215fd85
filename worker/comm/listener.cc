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

std::string AddressText(const sockaddr_in& address) {
  char text[INET_ADDRSTRLEN] = "";
  inet_ntop(AF_INET, &address.sin_addr, text, sizeof(text));
  return std::string(text) + ":" + std::to_string(ntohs(address.sin_port));
}

// Reads some of what a refused peer had still sent; true once it has closed. One that sends on and on
// has its turn like everybody else.
bool Drained(int fd) {
  char unread[16384];
  const ssize_t n = recv(fd, unread, sizeof(unread), MSG_DONTWAIT);
  return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

// After an accept for which this process had no descriptor or the system no memory.
constexpr base::Duration kAcceptPause = std::chrono::milliseconds(100);

bool IsRing(Kind kind) { return kind != Kind::kState; }

}  // namespace

struct DataListener::State {
  struct Greeted {  // one whose handshake and greeting are being read
    Channel channel;
    std::string from;
    std::string bytes;
    base::Time deadline;
    // Refused, and told so by TLS. Closing a socket with unread bytes would reset the connection,
    // and the peer lose the reason: it closes first, or the deadline passes.
    bool leaving = false;
  };
  struct Parked {
    Channel channel;
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
  bool TurnAway(Greeted& g);      // what ReadGreeting returns
  void Settle(Channel channel, const Greeting& greeting);
  const Handler* Find(const Greeting& greeting) const MUSTER_REQUIRES(mutex);
  static void Answer(Channel& channel, Verdict verdict, const std::string& sentence);
  static void Welcome(const Handler& handler, Channel channel, const Greeting& greeting);
  void Refuse(Channel& channel, Verdict verdict, const std::string& sentence)
      MUSTER_REQUIRES(mutex);
  void Report(const std::string& sentence) MUSTER_REQUIRES(mutex);
  void Expire();
  void HandOutParked() MUSTER_REQUIRES(mutex);
  std::pair<Verdict, std::string> Judge(const Greeting& greeting, const Channel& channel) const
      MUSTER_REQUIRES(mutex);
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
  state->address = options.bind_host + ":" + std::to_string(ntohs(local.sin_port));
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
Tls* DataListener::tls() const { return state_->options.tls; }

void DataListener::State::Run() {
  while (!stop.is_set()) {
    std::vector<pollfd> fds = {{stop.fd(), POLLIN, 0}};
    // When too many are half greeted, new ones wait in the kernel's queue.
    const bool accepting = greeted.size() < kMaxGreeting && Now() >= accept_from;
    fds.push_back({accepting ? listening.get() : -1, POLLIN, 0});
    for (const Greeted& g : greeted) {
      const short events = g.leaving ? POLLIN : g.channel.read_waits_for();
      fds.push_back({g.channel.get(), events, 0});
    }
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
    sockaddr_in peer{};
    socklen_t length = sizeof(peer);
    UniqueFd fd(accept4(listening.get(), reinterpret_cast<sockaddr*>(&peer), &length,
                        SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        accept_from = Now() + kAcceptPause;
      }
      return;
    }
    TuneSocket(fd.get(), kLinkSilence);
    absl::StatusOr<Channel> channel =
        options.tls != nullptr ? options.tls->Accept(std::move(fd)) : Channel(std::move(fd));
    if (!channel.ok()) {
      runtime::MutexLock lock(mutex);
      Report(AddressText(peer) + ": " + base::Message(channel.status()));
      continue;
    }
    greeted.push_back(
        {*std::move(channel), AddressText(peer), "", Now() + options.greeting_time, false});
    // Mostly the greeting is already there.
    if (ReadGreeting(greeted.back())) greeted.pop_back();
  }
}

bool DataListener::State::ReadGreeting(Greeted& g) {
  if (g.leaving) return Drained(g.channel.get());
  for (;;) {
    std::size_t wanted = kGreetingFixedBytes;
    if (g.bytes.size() >= kGreetingFixedBytes) {
      const auto length = GreetingLength(g.bytes);
      if (!length.ok()) {
        runtime::MutexLock lock(mutex);
        Refuse(g.channel, Verdict::kOtherVersion, base::Message(length.status()));
        return true;
      }
      wanted = *length;
    }
    if (g.bytes.size() == wanted && wanted >= kGreetingFixedBytes) break;
    char buffer[kGreetingFixedBytes + 2 * kMaxNameBytes];
    // Never a byte more than the greeting: what follows belongs to whoever gets the connection.
    const ssize_t n =
        g.channel.Read(std::as_writable_bytes(std::span(buffer, wanted - g.bytes.size())));
    if (n < 0 && Channel::Blocked()) return false;
    if (n < 0) return TurnAway(g);
    if (n == 0) return true;
    g.bytes.append(buffer, static_cast<std::size_t>(n));
  }
  const auto greeting = DecodeGreeting(g.bytes);
  if (!greeting.ok()) {
    runtime::MutexLock lock(mutex);
    Refuse(g.channel, Verdict::kOtherVersion, base::Message(greeting.status()));
    return true;
  }
  Settle(std::move(g.channel), *greeting);
  return true;
}

// TLS has failed, or the connection was reset, which is nobody's refusal.
bool DataListener::State::TurnAway(Greeted& g) {
  if (!g.channel.tls() || errno == ECONNRESET) return true;
  {
    const std::string trouble = g.channel.Trouble();
    runtime::MutexLock lock(mutex);
    Report(g.from + ": " + trouble);
  }
  g.leaving = true;
  shutdown(g.channel.get(), SHUT_WR);
  return Drained(g.channel.get());
}

std::pair<Verdict, std::string> DataListener::State::Judge(const Greeting& greeting,
                                                           const Channel& channel) const {
  const std::string who = "member " + base::ToString(greeting.member);
  if (greeting.job_uid != options.job_uid) {
    return {Verdict::kOtherJob, who + " is of job '" + greeting.job_uid.substr(0, 64) +
                                    "', this member of '" + options.job_uid.substr(0, 64) + "'"};
  }
  if (const api::JobMember* shown = channel.peer();
      channel.tls() && (shown == nullptr || shown->member != greeting.member)) {
    return {Verdict::kOtherMember,
            who + " shows the certificate of " +
                (shown == nullptr ? "nobody" : "member " + base::ToString(shown->member))};
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

void DataListener::State::Settle(Channel channel, const Greeting& greeting) {
  runtime::MutexLock lock(mutex);
  if (const auto [verdict, sentence] = Judge(greeting, channel); verdict != Verdict::kWelcome) {
    Refuse(channel, verdict, sentence);
    return;
  }
  if (const Handler* handler = Find(greeting)) {
    Welcome(*handler, std::move(channel), greeting);
    return;
  }
  if (parked.size() >= kMaxParked) {
    Refuse(parked.front().channel, Verdict::kBusy, "too many peers are waiting for their epoch");
    parked.pop_front();
  }
  parked.push_back({std::move(channel), greeting, Now() + options.park_time});
}

const DataListener::Handler* DataListener::State::Find(const Greeting& greeting) const {
  if (const auto it = handlers.find({greeting.kind, greeting.epoch}); it != handlers.end()) {
    return &it->second;
  }
  const auto it = kind_handlers.find(greeting.kind);
  return it == kind_handlers.end() ? nullptr : &it->second;
}

// On a socket that has sent no more than a handshake, which was received: it always fits.
void DataListener::State::Answer(Channel& channel, Verdict verdict, const std::string& sentence) {
  const std::string answer = EncodeAnswer(verdict, sentence);
  channel.Write(std::as_bytes(std::span(answer)));
}

void DataListener::State::Welcome(const Handler& handler, Channel channel,
                                  const Greeting& greeting) {
  Answer(channel, Verdict::kWelcome, "");
  handler(std::move(channel), greeting);
}

void DataListener::State::Refuse(Channel& channel, Verdict verdict, const std::string& sentence) {
  Answer(channel, verdict, sentence);
  Report(sentence);
}

void DataListener::State::Report(const std::string& sentence) {
  ++refused;
  if (options.on_refused) options.on_refused("data plane refused a peer: " + sentence);
}

void DataListener::State::Expire() {
  const base::Time now = Now();
  runtime::MutexLock lock(mutex);
  for (auto it = greeted.begin(); it != greeted.end();) {
    if (it->deadline > now) {
      ++it;
      continue;
    }
    if (it->channel.tls() && !it->leaving) {
      Report(it->from + ": it did not finish its handshake and greeting in time");
    }
    it = greeted.erase(it);
  }
  while (!parked.empty() && parked.front().deadline <= now) {
    const Greeting& g = parked.front().greeting;
    // One of us that is early: it comes again, and that is no refusal.
    Answer(parked.front().channel, Verdict::kBusy,
           "member " + base::ToString(g.member) + " waited in vain for epoch " +
               std::to_string(g.epoch.value));
    parked.pop_front();
  }
}

void DataListener::State::HandOutParked() {
  for (auto it = parked.begin(); it != parked.end();) {
    if (const Handler* handler = Find(it->greeting)) {
      Welcome(*handler, std::move(it->channel), it->greeting);
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
    const auto [verdict, sentence] = state_->Judge(it->greeting, it->channel);
    if (verdict == Verdict::kWelcome) {
      ++it;
      continue;
    }
    state_->Refuse(it->channel, verdict, sentence);
    it = state_->parked.erase(it);
  }
}

void DataListener::ReportRefusal(const std::string& sentence) {
  runtime::MutexLock lock(state_->mutex);
  state_->Report(sentence);
}

std::int64_t DataListener::refused() const {
  runtime::MutexLock lock(state_->mutex);
  return state_->refused;
}

}  // namespace muster::comm

// The listener: who is let in, who is refused and told why, and who must wait.

#include "worker/comm/listener.h"

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <future>

#include "tests/worker/comm/loopback.h"

namespace muster::comm {
namespace {

absl::Status Try(const DataListener& listener, const Greeting& greeting, int milliseconds = 2000) {
  AbortFlag never;
  Channel channel = Open(listener.address());
  return Greet(channel, greeting, In(milliseconds), never);
}

Greeting Good() { return {Kind::kRing, base::Epoch(5), {1, 2}, 1, "job-1", "secret"}; }

TEST(ListenerTest, RefusesOtherJobsTokensAndEpochsBySentence) {
  std::vector<std::string> refusals;
  auto listener = MakeListener("job-1", "secret", &refusals);
  listener->Fence(base::Epoch(5));
  Greeting job = Good(), token = Good(), stale = Good();
  job.job_uid = "job-2";
  token.token = "secreT";
  stale.epoch = base::Epoch(4);
  const std::pair<Greeting, std::string> cases[] = {
      {job, "of job 'job-2'"}, {token, "wrong token"}, {stale, "came for epoch 4"}};
  for (const auto& [greeting, sentence] : cases) {
    const absl::Status status = Try(*listener, greeting);
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_NE(base::Message(status).find(sentence), std::string::npos) << status;
  }
  EXPECT_EQ(listener->refused(), 3);
  listener.reset();
  ASSERT_EQ(refusals.size(), 3u);
  EXPECT_NE(refusals[0].find("job-2"), std::string::npos);
  // A token is a secret: it is in no log.
  EXPECT_EQ(refusals[1].find("secre"), std::string::npos);
}

TEST(ListenerTest, HandsOverWithoutLosingABytesThatFollow) {
  auto listener = MakeListener();
  std::promise<std::string> heard;
  listener->Register(Kind::kRing, base::Epoch(5), [&](Channel channel, const Greeting& greeting) {
    EXPECT_EQ(greeting, Good());
    std::string bytes(5, '\0');
    AbortFlag never;
    EXPECT_TRUE(ReadAll(channel, std::as_writable_bytes(std::span(bytes)), In(2000), never).ok());
    heard.set_value(bytes);
  });
  AbortFlag never;
  Channel channel = Open(listener->address());
  const std::string all = EncodeGreeting(Good()) + "after";
  ASSERT_TRUE(WriteAll(channel, std::as_bytes(std::span(all)), In(2000), never).ok());
  EXPECT_EQ(heard.get_future().get(), "after");
}

TEST(ListenerTest, GarbageAndSilenceAreClosed) {
  ListenerOptions options;
  options.greeting_time = std::chrono::milliseconds(100);
  auto listener = DataListener::Create(options).value();
  AbortFlag never;
  std::byte one[1];
  Channel silent = Open(listener->address());
  EXPECT_TRUE(absl::IsUnavailable(ReadAll(silent, one, In(2000), never)));
  Channel loud = Open(listener->address());
  const std::string http = "GET / HTTP/1.1\r\nHost: somebody.example\r\n\r\n";
  EXPECT_TRUE(WriteAll(loud, std::as_bytes(std::span(http)), In(2000), never).ok());
  EXPECT_TRUE(ReadAll(loud, one, In(2000), never).ok());
  EXPECT_EQ(std::to_integer<int>(one[0]), static_cast<int>(Verdict::kOtherVersion));
}

TEST(ListenerTest, ParksEarlyArrivalsForABoundedTime) {
  ListenerOptions options;
  options.job_uid = "job-1";
  options.token = "secret";
  options.park_time = std::chrono::milliseconds(100);
  auto listener = DataListener::Create(options).value();
  const absl::Status status = Try(*listener, Good());
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_NE(base::Message(status).find("waited in vain"), std::string::npos) << status;
}

TEST(ListenerTest, AddressInUseIsASentence) {
  auto first = MakeListener();
  ListenerOptions options;
  options.port = static_cast<std::uint16_t>(
      std::stoi(first->address().substr(first->address().rfind(':') + 1)));
  const auto second = DataListener::Create(options);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(base::Message(second.status()).find(first->address()), std::string::npos);
}

// A peer that cannot be accepted keeps the listening socket readable: that must not cost a core.
TEST(ListenerTest, WithoutADescriptorItWaitsAndAcceptsLater) {
  auto listener = MakeListener();
  AbortFlag never;
  UniqueFd late(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_TRUE(late);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(
      std::stoi(listener->address().substr(listener->address().rfind(':') + 1))));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const int lowest_free = dup(late.get());
  close(lowest_free);
  const rlimit none{static_cast<rlim_t>(lowest_free), before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  EXPECT_EQ(connect(late.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  timespec burnt{}, until{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &burnt);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &until);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  const double seconds = static_cast<double>(until.tv_sec - burnt.tv_sec) +
                         1e-9 * static_cast<double>(until.tv_nsec - burnt.tv_nsec);
  EXPECT_LT(seconds, 0.05);
  Greeting stranger = Good();
  stranger.token = "wrong";
  Channel greeter(std::move(late));
  EXPECT_TRUE(absl::IsFailedPrecondition(Greet(greeter, stranger, In(2000), never)));
}

TEST(GreetingTest, RoundTripsAndRejectsBadBytes) {
  const std::string bytes = EncodeGreeting(Good());
  EXPECT_EQ(DecodeGreeting(bytes).value(), Good());
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(DecodeGreeting(bytes.substr(0, n)).ok());
  std::string other = bytes;
  other[4] = 9;
  EXPECT_TRUE(absl::IsFailedPrecondition(DecodeGreeting(other).status()));
  other = bytes;
  other[8] = 9;
  EXPECT_FALSE(DecodeGreeting(other).ok());
}

}  // namespace
}  // namespace muster::comm

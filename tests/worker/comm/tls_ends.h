// One end of TLS that listens and one that calls, for the tests of it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/worker/comm/loopback.h"

namespace muster::comm {

inline constexpr base::MemberId kListening{0, 0};
inline constexpr base::MemberId kCaller{1, 0};

inline Greeting From(base::MemberId member) {
  return {Kind::kState, base::Epoch(5), member, 1, "job-1", "secret"};
}

// A listener whose state connections are welcome, and what it says of others.
struct Port {
  explicit Port(Tls* tls, base::Duration greeting_time = std::chrono::seconds(2)) {
    ListenerOptions options;
    options.job_uid = "job-1";
    options.token = "secret";
    options.tls = tls;
    options.greeting_time = greeting_time;
    options.on_refused = [this](const std::string& sentence) {
      runtime::MutexLock lock(mutex);
      sentences.push_back(sentence);
    };
    listener = DataListener::Create(std::move(options)).value();
    listener->RegisterKind(Kind::kState, [this](Channel channel, const Greeting&) {
      runtime::MutexLock lock(mutex);
      welcomed.push_back(std::move(channel));
    });
  }
  std::vector<std::string> Sentences() {
    runtime::MutexLock lock(mutex);
    return sentences;
  }
  // The one sentence that is said within two seconds.
  std::string Sentence() {
    for (const base::Time until = In(2000); Now() < until && listener->refused() == 0;) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    const auto all = Sentences();
    EXPECT_EQ(all.size(), 1u) << testing::PrintToString(all);
    return all.empty() ? "" : all.front();
  }

  runtime::Mutex mutex;
  std::vector<std::string> sentences MUSTER_GUARDED_BY(mutex);
  std::vector<Channel> welcomed MUSTER_GUARDED_BY(mutex);
  std::unique_ptr<DataListener> listener;
};

class TlsTest : public testing::Test {
 protected:
  std::unique_ptr<PaperCase> Papers(std::shared_ptr<const runtime::Identity> identity) {
    return std::make_unique<PaperCase>(std::move(identity), authority_.certificate_pem);
  }
  std::unique_ptr<PaperCase> Papers(base::MemberId member) {
    return Papers(MakeLeaf(authority_, member));
  }

  absl::Status Call(const Port& port, PaperCase& papers, base::MemberId greets_as = kCaller) {
    AbortFlag never;
    Channel channel = Open(port.listener->address(), papers.tls(), kListening);
    return Greet(channel, From(greets_as), In(2000), never);
  }
  void ExpectStillOpen(const Port& port) {
    EXPECT_TRUE(Call(port, *Papers(kCaller)).ok()) << "the honest peer must get through";
  }

  const runtime::Identity authority_ = MakeTestAuthority();
};

}  // namespace muster::comm

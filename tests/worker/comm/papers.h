// Members with certificates, made as the operator makes them, for the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "operator/api/member_uri.h"
#include "operator/runtime/certificates.h"
#include "operator/runtime/clock.h"
#include "operator/runtime/mutex.h"
#include "worker/comm/tls.h"

namespace muster::comm {

inline base::WallTime WallNow() { return runtime::RealClock().WallNow(); }

inline runtime::Identity MakeTestAuthority() {
  auto authority =
      runtime::MakeAuthority("ring test", runtime::ValidFor(WallNow(), std::chrono::hours(48)));
  EXPECT_TRUE(authority.ok()) << authority.status();
  return *authority;
}

inline std::shared_ptr<const runtime::Identity> MakeLeaf(
    const runtime::Identity& authority, base::MemberId member, const std::string& job = "job-1",
    std::optional<runtime::Validity> validity = std::nullopt) {
  const auto request = runtime::MakeRequest();
  EXPECT_TRUE(request.ok()) << request.status();
  const auto leaf =
      runtime::SignMember(authority, request->request_pem, {job, member},
                          validity.value_or(runtime::ValidFor(WallNow(), std::chrono::hours(1))));
  EXPECT_TRUE(leaf.ok()) << leaf.status();
  return std::make_shared<const runtime::Identity>(runtime::Identity{*leaf, request->key_pem});
}

// One member's papers, which a test replaces while others are shaking hands with it.
class PaperCase {
 public:
  PaperCase(std::shared_ptr<const runtime::Identity> identity, std::string believed_pem,
            const std::string& job = "job-1", std::uint64_t key_bytes = Tls::Options().key_bytes)
      : papers_{std::move(identity), std::move(believed_pem)},
        tls_({job, [this] { return Current(); }, key_bytes}) {}

  Tls* tls() { return &tls_; }
  void Show(std::shared_ptr<const runtime::Identity> identity) {
    runtime::MutexLock lock(mutex_);
    papers_.identity = std::move(identity);
  }
  void Believe(std::string pem) {
    runtime::MutexLock lock(mutex_);
    papers_.believed_pem = std::move(pem);
  }

 private:
  absl::StatusOr<Papers> Current() {
    runtime::MutexLock lock(mutex_);
    if (papers_.identity == nullptr) return base::Unavailable("it has no certificate yet");
    return papers_;
  }

  runtime::Mutex mutex_;
  Papers papers_ MUSTER_GUARDED_BY(mutex_);
  Tls tls_;
};

}  // namespace muster::comm

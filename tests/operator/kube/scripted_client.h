// A client whose transport answers by a script, for tests of what is sent and what is made of answers.
#pragma once

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "operator/kube/client.h"
#include "tests/operator/kube/json_rows.h"

namespace muster::kube {

// Gives the answers in their order, the last again and again, and keeps what it was sent.
class Script final : public HttpTransport {
 public:
  absl::StatusOr<HttpResponse> Send(const HttpRequest& request, std::stop_token) override {
    sent.push_back(request);
    return Next();
  }
  absl::StatusOr<HttpResponse> Stream(const HttpRequest& request, const OnLine& on_line,
                                      std::stop_token) override {
    sent.push_back(request);
    const absl::StatusOr<HttpResponse> answer = Next();
    if (!answer.ok() || !answer->ok()) return answer;
    for (const std::string& line : lines) {
      if (!on_line(line)) break;
    }
    return answer;
  }

  std::deque<absl::StatusOr<HttpResponse>> answers;
  std::vector<std::string> lines;
  std::vector<HttpRequest> sent;

 private:
  absl::StatusOr<HttpResponse> Next() {
    absl::StatusOr<HttpResponse> answer = answers.front();
    if (answers.size() > 1) answers.pop_front();
    return answer;
  }
};

inline HttpResponse Answer(int code, std::string body = "{}",
                           std::optional<base::Duration> retry_after = std::nullopt) {
  std::replace(body.begin(), body.end(), '\'', '"');
  return {code, std::move(body), retry_after};
}

inline std::string Refusal(int code, const std::string& reason, const std::string& details = "{}") {
  return "{'kind':'Status','message':'m','reason':'" + reason + "','code':" + std::to_string(code) +
         ",'details':" + details + "}";
}

struct ScriptedClient {
  explicit ScriptedClient(std::deque<absl::StatusOr<HttpResponse>> answers)
      : client(script, Quick()) {
    script.answers = std::move(answers);
  }
  static Client::Options Quick() {
    Client::Options options;
    options.retry = {4, std::chrono::milliseconds(1), std::chrono::milliseconds(2)};
    options.chance = [] { return std::uint64_t{0}; };
    return options;
  }
  Json Sent() const { return Json::parse(script.sent.back().body); }
  const std::string& Target() const { return script.sent.back().target; }
  Script script;
  Client client;
};

}  // namespace muster::kube

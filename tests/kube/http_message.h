// HTTP/1.1 as text: a request out of bytes, an answer into bytes. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tests/kube/answer.h"

namespace muster::kubetest {

// Takes one whole request off the front of `buffer`. Nothing: more bytes are needed. `broken`: this
// is no HTTP.
std::optional<Request> TakeRequest(std::string& buffer, bool* broken);

std::string AnswerText(const Answer& answer);
// The head of an answer whose body comes in chunks, a chunk, and the last one.
std::string ChunkedHead();
std::string Chunk(std::string_view text);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace muster::kubetest

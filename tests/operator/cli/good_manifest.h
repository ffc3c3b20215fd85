// The manifest that tests of the command line start from; line numbers in tests are its own.
#pragma once

#include <string>

namespace muster::cli {

inline const std::string kGood =
    "apiVersion: muster.dev/v1alpha1\n"  // 1
    "kind: TrainingJob\n"                // 2
    "metadata: {name: licences}\n"       // 3
    "spec:\n"                            // 4
    "  workers:\n"                       // 5
    "    replicas: 4\n"                  // 6
    "    maxReplicas: 8\n"               // 7
    "  program:\n"                       // 8
    "    builtin: gpt\n"                 // 9
    "    config:\n"                      // 10
    "      width: 128\n"                 // 11
    "      heads: 4\n"                   // 12
    "  training:\n"                      // 13
    "    steps: 300\n"                   // 14
    "    slots: 64\n"                    // 15
    "  data: {path: /data}\n"            // 16
    "  checkpoint:\n"                    // 17
    "    keep: 3\n"                      // 18
    "  elasticity:\n"                    // 19
    "    heartbeatTimeout: 1s\n"         // 20
    "  failurePolicy: {}\n"              // 21
    "  suspend: false\n";                // 22

// kGood with the first `from` replaced; both must make sense, so a missing `from` is an empty text.
inline std::string Edited(const std::string& from, const std::string& to) {
  std::string text = kGood;
  const std::size_t at = text.find(from);
  return at == std::string::npos ? "" : text.replace(at, from.size(), to);
}

}  // namespace muster::cli

// Certificates made for a test: authorities, and leaves of them. PEM texts.
#pragma once

#include <string>
#include <vector>

namespace muster::kube {

struct Identity {
  std::string certificate_pem;
  std::string key_pem;
};

// An authority named `name`.
Identity MakeAuthority(const std::string& name);
// Signed by `authority`. `names`: "IP:127.0.0.1", "DNS:api.test"; empty: a client's.
Identity MakeLeaf(const Identity& authority, const std::string& name,
                  const std::vector<std::string>& names);

}  // namespace muster::kube

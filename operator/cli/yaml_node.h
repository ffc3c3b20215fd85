// YAML or JSON text to a Node with lines and columns. The only file that knows yaml-cpp is its .cc.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "operator/api/job_validation.h"
#include "operator/api/node.h"

namespace muster::cli {

// A manifest is a page of text; what is larger is some other file.
inline constexpr std::size_t kMaxManifestBytes = 1 << 20;

struct YamlDocument {
  api::Node root;
  std::optional<api::Finding> error;  // set: it could not be read; the root is void
};

// One document. Anchors, aliases and merge keys (<<) are resolved; what they blow up to is bounded.
YamlDocument ParseYaml(std::string_view text);

}  // namespace muster::cli

// Which files a data path stands for, in the order in which their tokens are joined.
#pragma once

#include <string>
#include <vector>

#include "operator/base/status.h"

namespace muster::data {

struct CorpusFile {
  std::string name;  // relative to the data path; a single file's own name
  std::string path;  // opens it
  friend bool operator==(const CorpusFile&, const CorpusFile&) = default;
};

// Every regular file under `path` (or `path` itself) after resolving links, each once: of several
// names of one file the first in byte order counts. Names with a component that starts with a dot
// are skipped, and so is what is neither file nor folder; `path` itself must be one of the two.
absl::StatusOr<std::vector<CorpusFile>> ListTextFiles(const std::string& path);

// `path` itself when it is a file, otherwise the *.bin files directly in it.
absl::StatusOr<std::vector<CorpusFile>> ListTokenFiles(const std::string& path);

}  // namespace muster::data

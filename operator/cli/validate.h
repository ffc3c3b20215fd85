// `muster validate`: manifests in, sentences and an exit status out.
#pragma once

#include <iosfwd>

#include "operator/cli/options.h"

namespace muster::cli {

int RunValidate(const ValidateOptions& options, std::istream& in, std::ostream& out,
                std::ostream& err);

}  // namespace muster::cli

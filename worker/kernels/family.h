// Which BLAS kernels this process runs: the kernel family is part of the exact contract (E3).
//
// OpenBLAS picks its kernels when the library is loaded, from OPENBLAS_CORETYPE or else from the
// CPU; an unknown name silently means "choose yourself". So a family is pinned by setting the
// environment and starting the process again, and ActiveCore() is believed, never the environment.
// We pin from a short list on purpose: newer cores (Cooperlake, SapphireRapids) run SkylakeX
// kernels with the same bits as any other AVX-512 machine.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "operator/base/status.h"

namespace muster::kernels {

// Families that this CPU can run, best first; never empty on x86-64.
std::vector<std::string> SupportedFamilies();

// What OpenBLAS says it runs (its own spelling).
std::string ActiveCore();
// "OpenBLAS 0.3.21 ..." as the library describes itself.
std::string BlasDescription();

// One thread a BLAS call from now on (E3), whatever the environment said. Models do it when they
// are made.
void UseOneBlasThread();

// The environment that pins `family`, as NAME=value: to be set before the program is executed
// again.
std::vector<std::string> FamilyEnvironment(std::string_view family);

// OK when `family` is what runs, with one BLAS thread; else a sentence: InvalidArgument for a name
// that is not in the list, FailedPrecondition when this CPU cannot run it or the library runs
// another.
absl::Status CheckFamily(std::string_view family);
// The same decision on values, for tests.
absl::Status CheckFamily(std::string_view family, const std::vector<std::string>& supported,
                         std::string_view active);

}  // namespace muster::kernels

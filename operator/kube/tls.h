// PEM texts into an OpenSSL context: what a connection trusts and what it shows.
#pragma once

#include "operator/base/status.h"
#include "operator/kube/access.h"

struct ssl_ctx_st;

namespace muster::kube {

// Replaces what the context trusts: the access's CAs alone, or the machine's roots when it names
// none. InvalidArgument says which of the texts cannot be used.
absl::Status UseAccess(ssl_ctx_st* context, const Access& access);

// The same on a context of its own: is all of it usable?
absl::Status CheckAccess(const Access& access);

}  // namespace muster::kube

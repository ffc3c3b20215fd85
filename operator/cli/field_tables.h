// The tables of docs/trainingjob.md, in Markdown: every field of spec and status.
#pragma once

#include <string>

namespace muster::cli {

std::string FieldTables();

}  // namespace muster::cli

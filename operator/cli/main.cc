// `muster`: reads the command line and hands it to the command.
#include <iostream>
#include <string>
#include <variant>
#include <vector>

#include "operator/api/crd.h"
#include "operator/app/coordinator.h"
#include "operator/cli/explain.h"
#include "operator/cli/field_tables.h"
#include "operator/cli/job_commands.h"
#include "operator/cli/operator.h"
#include "operator/cli/options.h"
#include "operator/cli/run.h"
#include "operator/cli/validate.h"
#include "operator/runtime/build_info.h"

namespace muster::cli {
namespace {

struct Execute {
  int operator()(const Said& said) const {
    (said.exit_status == 0 ? std::cout : std::cerr) << said.text;
    return said.exit_status;
  }
  int operator()(const RunOptions& options) const {
    return RunRun(options, std::cin, std::cout, std::cerr);
  }
  int operator()(const ValidateOptions& options) const {
    return RunValidate(options, std::cin, std::cout, std::cerr);
  }
  int operator()(const ExplainOptions& options) const {
    const absl::StatusOr<std::string> text = Explain(options.field);
    if (!text.ok()) {
      std::cerr << "muster: " << base::Message(text.status()) << "\n";
      return kExitUsage;
    }
    std::cout << *text;
    return kExitSucceeded;
  }
  int operator()(const VersionOptions&) const {
    std::cout << "muster " << runtime::Version() << " (build " << runtime::BuildId() << ")\n";
    return kExitSucceeded;
  }
  int operator()(const OperatorFlags& flags) const { return RunOperatorCommand(flags, std::cerr); }
  int operator()(const JobFlags& flags) const { return RunJobCommand(flags, std::cout, std::cerr); }
  int operator()(const CrdOptions& options) const {
    std::cout << (options.tables ? FieldTables() : api::CrdYaml());
    return kExitSucceeded;
  }
  int operator()(const CoordinatorOptions& options) const {
    return app::RunCoordinator({.socket = options.socket});
  }
};

}  // namespace
}  // namespace muster::cli

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  return std::visit(muster::cli::Execute(), muster::cli::ParseCommandLine(args));
}

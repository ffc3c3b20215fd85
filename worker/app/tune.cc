#include "worker/app/tune.h"

#include <unistd.h>

#include <cctype>

#include "operator/api/training_job_json.h"
#include "operator/base/check.h"
#include "worker/app/accelerator.h"
#include "worker/model/program.h"
#include "worker/train/tune_products.h"

namespace muster::app {
namespace {

constexpr int kUsage = 2;

// A number as JSON has it, so that nothing else gets into the text.
bool IsNumber(const std::string& text) {
  for (const char c : text) {
    if (std::isdigit(static_cast<unsigned char>(c)) == 0 && c != '.') return false;
  }
  return !text.empty();
}

absl::StatusOr<api::TrainingJobSpec> SpecOf(const std::vector<std::string>& settings) {
  std::string config = R"("device":"cuda")";
  for (const std::string& setting : settings) {
    const std::size_t equals = setting.find('=');
    const std::string name = setting.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : setting.substr(equals + 1);
    if (!IsNumber(value) || name.find_first_of("\"\\") != std::string::npos) {
      return base::InvalidArgument(setting +
                                   " is not allowed: a setting of spec.program.config and a "
                                   "number, as in layers=12");
    }
    config += ",\"" + name + "\":" + value;
  }
  return api::ParseTrainingJobSpec(R"({"program":{"builtin":"gpt","config":{)" + config +
                                   R"(}},"training":{"steps":1,"slots":1,"transport":"ring"}})");
}

}  // namespace

int RunTune(const std::vector<std::string>& settings,
            const std::function<const char*(const char*)>& get, std::ostream& out,
            std::ostream& err) {
  const auto complain = [&err](const std::string& sentence, int code) {
    err << "muster-worker tune: " << sentence << "\n";
    return code;
  };
  const auto spec = SpecOf(settings);
  if (!spec.ok()) return complain(base::Message(spec.status()), kUsage);
  const auto program = model::MakeProgram(spec->program, 1);
  if (!program.ok()) return complain(base::Message(program.status()), kUsage);
  AcceleratorRequest request;
  request.spec = *spec;
  request.parameters = (*program)->layout().parameters;
  const char* const module = get("MUSTER_CUDA_MODULE");
  request.module_path = ModulePath(module != nullptr ? module : "");
  request.module_named = module != nullptr;
  request.end = [&](api::ExitCode code, const std::string& sentence) {
    _exit(complain(sentence, static_cast<int>(code)));
  };
  const AcceleratorChoice choice = TakeAccelerator(request);
  if (choice.refusal) {
    return complain(choice.refusal->sentence, static_cast<int>(choice.refusal->code));
  }
  const auto table = train::TuneProducts(*choice.taken.context, spec->program.config, **program);
  if (!table.ok()) {
    return complain(base::Message(table.status()), static_cast<int>(api::ExitCode::kNoDevice));
  }
  out << *table << std::flush;
  return out ? 0
             : complain("the table cannot be written", static_cast<int>(api::ExitCode::kInternal));
}

}  // namespace muster::app

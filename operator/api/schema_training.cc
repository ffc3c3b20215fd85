// The rows of the schema that say what is trained: program, training, data, checkpoint.
#include "operator/api/schema_rows.h"

namespace muster::api {
namespace {

constexpr std::int64_t kMaxSteps = 1'000'000'000;
// Numbers above 2^53 do not survive JSON readers that hold numbers as doubles.
constexpr std::int64_t kMaxJsonInteger = 9'007'199'254'740'991;
constexpr std::int64_t kMaxPathBytes = 4096;
constexpr std::int64_t kYearSeconds = 31'536'000;

#define CONFIG(member) MUSTER_FIELD(spec.program.config.member)
// With device cuda alone (job_rules.cc).
void AddCudaRows(std::vector<Field>& rows) {
  rows.push_back(
      Row("spec.program.config.recompute", FieldType::kInteger,
          "Time for memory, with device cuda. 0: what the way back needs is kept. 1: the output of "
          "GELU is made again. 2: those of the norms too.")
          .At(CONFIG(recompute))
          .Between(0, 2)
          .OnlyWhereSet()
          .Of(Builtin::kGpt)
          .Changes(Change::kUntilStart)
          .Take());
  rows.push_back(Row("spec.program.config.matmulTable", FieldType::kText,
                     "A file that says which algorithm of cuBLASLt makes which matrix product, "
                     "with device cuda; the same for all workers. Empty: what cuBLASLt names.")
                     .At(CONFIG(matmul_table))
                     .Between(0, kMaxPathBytes)
                     .OnlyWhereSet()
                     .Of(Builtin::kGpt)
                     .Changes(Change::kUntilStart)
                     .Take());
}

void AddGptRows(std::vector<Field>& rows) {
  auto integer = [&rows](const char* name, std::int64_t least, std::int64_t most, FieldRef ref,
                         const char* text) {
    rows.push_back(Row(std::string("spec.program.config.") + name, FieldType::kInteger, text)
                       .At(ref)
                       .Between(least, most)
                       .Of(Builtin::kGpt)
                       .Changes(Change::kUntilStart)
                       .Take());
  };
  auto number = [&rows](const char* name, double low, double high, FieldRef ref, const char* text) {
    return Row(std::string("spec.program.config.") + name, FieldType::kNumber, text)
        .At(ref)
        .Within(low, high)
        .Of(Builtin::kGpt)
        .Changes(Change::kUntilStart);
  };
  integer("layers", 1, 1000, CONFIG(layers), "Transformer blocks.");
  integer("heads", 1, 1024, CONFIG(heads), "Attention heads; width is divisible by it.");
  integer("width", 8, 16384, CONFIG(width), "Model dimension: features of a token.");
  integer("context", 1, 65536, CONFIG(context), "Tokens of a sequence.");
  integer("batch", 1, 4096, CONFIG(batch),
          "Sequences of a slot. A step trains on slots x batch x context tokens.");
  integer("vocabulary", 2, 65536, CONFIG(vocabulary),
          "Number of different tokens: 256 for text, else as the token files were made.");
  rows.push_back(number("learningRate", 0, 10, CONFIG(learning_rate),
                        "Peak learning rate: reached after warmupSteps, then falling as a cosine.")
                     .LowOpen()
                     .Take());
  integer("warmupSteps", 0, 1'000'000, CONFIG(warmup_steps),
          "Steps in which the learning rate rises from 0 to its peak.");
  rows.push_back(
      number("weightDecay", 0, 10, CONFIG(weight_decay), "Decoupled weight decay of the matrices.")
          .Take());
  rows.push_back(number("clip", 0, 1e6, CONFIG(clip),
                        "Largest global norm of the gradient; larger ones are scaled down. 0: off.")
                     .Take());
  rows.push_back(
      number("dropout", 0, 1, CONFIG(dropout), "Share of activations set to zero in training.")
          .HighOpen()
          .Take());
  rows.push_back(
      Row("spec.program.config.device", FieldType::kEnum,
          "What workers compute on. auto: a GPU where the pod has one and the image has CUDA, "
          "else the CPU. All workers of a job compute on the same kind.")
          .At(CONFIG(device))
          .OneOf({"auto", "cpu", "cuda"})
          .OnlyWhereSet()
          .Of(Builtin::kGpt)
          .Changes(Change::kUntilStart)
          .Take());
  AddCudaRows(rows);
}

void AddBenchRows(std::vector<Field>& rows) {
  rows.push_back(Row("spec.program.config.stateBytes", FieldType::kInteger,
                     "Bytes of weights and moments, 12 a parameter: what a joiner receives.")
                     .At(CONFIG(state_bytes))
                     .Between(12, std::int64_t{1} << 40)
                     .Of(Builtin::kBench)
                     .Changes(Change::kUntilStart)
                     .Take());
  rows.push_back(Row("spec.program.config.slotMilliseconds", FieldType::kNumber,
                     "Milliseconds of processor time for each slot.")
                     .At(CONFIG(slot_milliseconds))
                     .Within(0, 60'000)
                     .Of(Builtin::kBench)
                     .Changes(Change::kUntilStart)
                     .Take());
#undef CONFIG
}

void AddDataRows(std::vector<Field>& rows) {
  rows.push_back(Row("spec.data", FieldType::kGroup, "What it is trained on.").Take());
  rows.push_back(Row("spec.data.path", FieldType::kText,
                     "File or directory. Of a directory every regular file is read, each once, in "
                     "byte order of its name; the last tenth is held out. gpt needs it.")
                     .At(MUSTER_FIELD(spec.data.path))
                     .Changes(Change::kUntilStart)
                     .Between(0, kMaxPathBytes)
                     .Take());
  rows.push_back(Row("spec.data.format", FieldType::kEnum,
                     "text: bytes as tokens. llmc: 256 x int32 header, then uint16 tokens. "
                     "tokens16: bare uint16 tokens.")
                     .At(MUSTER_FIELD(spec.data.format))
                     .Changes(Change::kUntilStart)
                     .OneOf({"text", "llmc", "tokens16"})
                     .Take());
}

void AddCheckpointRows(std::vector<Field>& rows) {
  rows.push_back(Row("spec.checkpoint", FieldType::kGroup,
                     "Where and how often the whole state is written; used only when no member "
                     "with it is left.")
                     .Take());
  rows.push_back(Row("spec.checkpoint.path", FieldType::kText,
                     "Directory that all members share. On one machine a relative one is inside "
                     "the state directory, which is also the default.")
                     .At(MUSTER_FIELD(spec.checkpoint.path))
                     .Changes(Change::kUntilStart)
                     .Between(0, kMaxPathBytes)
                     .Take());
  rows.push_back(Row("spec.checkpoint.everySteps", FieldType::kInteger,
                     "A checkpoint after each so many steps. 0: not by steps.")
                     .At(MUSTER_FIELD(spec.checkpoint.every_steps))
                     .Between(0, kMaxSteps)
                     .Take());
  rows.push_back(Row("spec.checkpoint.everySeconds", FieldType::kInteger,
                     "A checkpoint when the last one is so many seconds old. 0: not by time.")
                     .At(MUSTER_FIELD(spec.checkpoint.every_seconds))
                     .Between(0, kYearSeconds)
                     .Take());
  rows.push_back(Row("spec.checkpoint.keep", FieldType::kInteger,
                     "How many committed checkpoints stay on disk.")
                     .At(MUSTER_FIELD(spec.checkpoint.keep))
                     .Between(1, 1000)
                     .Why("the newest one is what the job goes back to when all members are lost")
                     .Take());
}

}  // namespace

void AddProgramRows(std::vector<Field>& rows) {
  rows.push_back(Row("spec.program", FieldType::kGroup, "What is computed.").Required().Take());
  rows.push_back(Row("spec.program.builtin", FieldType::kEnum,
                     "gpt: the GPT-2 architecture on text or tokens. bench: a given amount of "
                     "state and compute, for measuring.")
                     .At(MUSTER_FIELD(spec.program.builtin))
                     .Changes(Change::kUntilStart)
                     .OneOf({"gpt", "bench"})
                     .Required()
                     .Take());
  rows.push_back(
      Row("spec.program.config", FieldType::kGroup, "Settings of the builtin; each has its own.")
          .Take());
  AddGptRows(rows);
  AddBenchRows(rows);
  rows.push_back(
      Row("spec.program.weights", FieldType::kGroup, "What the first step starts from.").Take());
  rows.push_back(
      Row("spec.program.weights.path", FieldType::kText,
          "A GPT-2 to start from: a model.safetensors under Hugging Face's names, or the "
          "directory that holds it. Empty: random weights, by the seed. gpt only.")
          .At(MUSTER_FIELD(spec.program.weights.path))
          .Changes(Change::kUntilStart)
          .Between(0, kMaxPathBytes)
          .OnlyWhereSet()
          .Take());
}

void AddTrainingRows(std::vector<Field>& rows) {
  rows.push_back(Row("spec.training", FieldType::kGroup, "How it is trained.").Required().Take());
  rows.push_back(Row("spec.training.steps", FieldType::kInteger, "Optimizer updates in all.")
                     .At(MUSTER_FIELD(spec.training.steps))
                     .Changes(Change::kUntilStart)
                     .Between(1, kMaxSteps)
                     .Required()
                     .Take());
  rows.push_back(Row("spec.training.slots", FieldType::kInteger,
                     "M: logical microbatches of a step. Members share them, so M is at least the "
                     "number of members; at 8 per member the loss of one is hardly felt.")
                     .At(MUSTER_FIELD(spec.training.slots))
                     .Changes(Change::kUntilStart)
                     .Between(1, 65536)
                     .Required()
                     .Take());
  rows.push_back(Row("spec.training.reduction", FieldType::kEnum,
                     "How gradients are summed. Exact64: 64-bit integers. Exact32: 32-bit integers "
                     "with an exponent per tensor, half the traffic. Float: ordinary floats; the "
                     "result then depends on who computed what.")
                     .At(MUSTER_FIELD(spec.training.reduction))
                     .Changes(Change::kUntilStart)
                     .OneOf({"Exact64", "Exact32", "Float"})
                     .Take());
  rows.push_back(Row("spec.training.transport", FieldType::kEnum,
                     "What carries the sums. auto: nccl where all members have a GPU, else the "
                     "TCP ring.")
                     .At(MUSTER_FIELD(spec.training.transport))
                     .Changes(Change::kUntilStart)
                     .OneOf({"auto", "ring", "nccl"})
                     .Take());
  rows.push_back(Row("spec.training.evaluateEverySteps", FieldType::kInteger,
                     "The held-out loss is computed after each so many steps, and after the last "
                     "one. 0: only after the last one.")
                     .At(MUSTER_FIELD(spec.training.evaluate_every_steps))
                     .Changes(Change::kUntilStart)
                     .Between(0, kMaxSteps)
                     .Take());
  rows.push_back(Row("spec.training.seed", FieldType::kInteger,
                     "Keys the initial weights, the order of samples and dropout.")
                     .At(MUSTER_FIELD(spec.training.seed))
                     .Changes(Change::kUntilStart)
                     .Between(0, kMaxJsonInteger)
                     .Take());
  AddDataRows(rows);
  AddCheckpointRows(rows);
}

}  // namespace muster::api

#include "worker/cuda/gpt_graphs.h"

#include <utility>

#include "worker/cuda/context.h"

namespace muster::cuda {
namespace {

void DestroyPieces(std::vector<GptPiece>& pieces) {
  for (const GptPiece& piece : pieces) {
    if (piece.graph != nullptr) (void)cudaGraphExecDestroy(piece.graph);
  }
  pieces.clear();
  ForgetLastError();
}

}  // namespace

GptRecorder::~GptRecorder() {
  if (capturing_) {
    // The stream is captured until this is called, whatever failed.
    cudaGraph_t graph = nullptr;
    if (cudaStreamEndCapture(stream_, &graph) == cudaSuccess) (void)cudaGraphDestroy(graph);
    ForgetLastError();
  }
  DestroyPieces(pieces_);
}

std::int32_t GptRecorder::Begin(MusterCudaText message) {
  // Of this thread: NCCL's owner may call what no capture allows, and is not to be told so.
  const std::int32_t failed =
      Say("cudaStreamBeginCapture",
          cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), message);
  capturing_ = failed == 0;
  return failed;
}

std::int32_t GptRecorder::Cut(MusterCudaText message) {
  capturing_ = false;
  cudaGraph_t graph = nullptr;
  std::int32_t failed = Say("cudaStreamEndCapture", cudaStreamEndCapture(stream_, &graph), message);
  if (failed != 0) return failed;
  std::size_t nodes = 0;
  GptPiece piece;
  failed = Say("cudaGraphGetNodes", cudaGraphGetNodes(graph, nullptr, &nodes), message);
  if (failed == 0 && nodes != 0) {
    failed = Say("cudaGraphInstantiate", cudaGraphInstantiate(&piece.graph, graph, 0), message);
  }
  (void)cudaGraphDestroy(graph);
  // Tensors that are finished together have nothing between them.
  if (failed == 0 && (nodes != 0 || pieces_.empty())) pieces_.push_back(piece);
  return failed;
}

std::int32_t GptRecorder::Finish(const GptPiece::Finished& finished, MusterCudaText message) {
  const std::int32_t failed = Cut(message);
  if (failed != 0) return failed;
  pieces_.back().finished.push_back(finished);
  return Begin(message);
}

std::int32_t GptRecorder::End(std::vector<GptPiece>& to, MusterCudaText message) {
  const std::int32_t failed = Cut(message);
  if (failed == 0) to = std::move(pieces_);
  if (failed == 0) pieces_.clear();
  return failed;
}

void GptGraphs::Run(Part part, GptPass& pass, const Body& body) {
  if (pass.failed != 0) return;
  if (weights_ != pass.weights) {
    Clear();
    weights_ = pass.weights;
  }
  Recording& recording = parts_[static_cast<std::size_t>(part)];
  if (wanted_ && !recording.is_there && recording.passes > 0) Record(recording, pass, body);
  if (recording.is_there) {
    Play(recording, pass);
  } else {
    ++recording.passes;
    body(pass);
  }
}

void GptGraphs::Record(Recording& recording, const GptPass& pass, const Body& body) {
  char text[256] = "";
  const MusterCudaText message{text, static_cast<std::int32_t>(sizeof text)};
  GptRecorder recorder(pass.stream);
  GptPass captured = pass;
  captured.message = message;
  captured.recorder = &recorder;
  captured.failed = recorder.Begin(message);
  if (captured.failed == 0) body(captured);
  if (captured.failed == 0) captured.failed = recorder.End(recording.pieces, message);
  recording.is_there = captured.failed == 0;
  if (recording.is_there) return;
  Clear();
  wanted_ = false;
  why_ = text;
}

void GptGraphs::Play(const Recording& recording, GptPass& pass) {
  for (const GptPiece& piece : recording.pieces) {
    if (piece.graph != nullptr && pass.failed == 0) {
      pass.Launched("cudaGraphLaunch", cudaGraphLaunch(piece.graph, pass.stream));
    }
    for (const GptPiece::Finished& finished : piece.finished) {
      pass.Finish(finished.tensor, finished.gradient);
    }
  }
}

void GptGraphs::Clear() {
  for (Recording& recording : parts_) {
    DestroyPieces(recording.pieces);
    recording = {};
  }
}

std::int32_t GptGraphs::count() const {
  std::int32_t count = 0;
  for (const Recording& recording : parts_) {
    for (const GptPiece& piece : recording.pieces) count += piece.graph != nullptr ? 1 : 0;
  }
  return count;
}

}  // namespace muster::cuda

// A slot's launches as CUDA graphs: captured once, launched for every slot after that.
//
// A graph ends where tensors are finished, and the next one begins behind what the receiver launches
// there. What it launches changes with the step (scales and limits, or the maxima alone), and it may
// synchronise or record events for a reduction; so it stays as it is, between the graphs. A whole slot
// in one graph would need all of that in the graph's own parameters, and a block of twelve tensors has
// six cuts: what is left to save by it is small.
//
// The first pass of a kind launches as ever: libraries choose and load their kernels there. Before the
// second one all of it is captured, which runs nothing, then launched. If anything fails in between,
// what was captured is thrown away and every pass launches as ever; why() has the sentence. The bits are
// the same either way: the same kernels with the same parameters in the same order.
//
// Thread rule: the context's. Other threads may call CUDA while this one captures.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "worker/cuda/gpt_engine.h"

namespace muster::cuda {

struct GptPiece {
  struct Finished {
    std::int32_t tensor = 0;
    const float* gradient = nullptr;
  };
  cudaGraphExec_t graph = nullptr;  // null: nothing is launched
  std::vector<Finished> finished;   // after it
};

// Captures a pass, piece by piece.
class GptRecorder {
 public:
  explicit GptRecorder(cudaStream_t stream) : stream_(stream) {}
  ~GptRecorder();
  GptRecorder(const GptRecorder&) = delete;
  GptRecorder& operator=(const GptRecorder&) = delete;

  // Each 0, or 1 and a sentence.
  std::int32_t Begin(MusterCudaText message);
  std::int32_t Finish(const GptPiece::Finished& finished, MusterCudaText message);
  // The caller destroys the graphs.
  std::int32_t End(std::vector<GptPiece>& to, MusterCudaText message);

 private:
  std::int32_t Cut(MusterCudaText message);

  const cudaStream_t stream_;
  bool capturing_ = false;
  std::vector<GptPiece> pieces_;
};

class GptGraphs {
 public:
  enum class Part { kForward, kBackward, kEvaluate };
  using Body = std::function<void(GptPass&)>;

  explicit GptGraphs(bool wanted) : wanted_(wanted) {}
  ~GptGraphs() { Clear(); }
  GptGraphs(const GptGraphs&) = delete;
  GptGraphs& operator=(const GptGraphs&) = delete;

  // One part of a pass. `body` launches the same for every pass with the same weights.
  void Run(Part part, GptPass& pass, const Body& body);

  // Graphs that passes launch; 0 without any, or before the second pass.
  std::int32_t count() const;
  // Empty, or why there are none.
  const std::string& why() const { return why_; }

 private:
  struct Recording {
    std::int32_t passes = 0;
    bool is_there = false;
    std::vector<GptPiece> pieces;
  };
  void Record(Recording& recording, const GptPass& pass, const Body& body);
  static void Play(const Recording& recording, GptPass& pass);
  void Clear();

  bool wanted_;
  const float* weights_ = nullptr;  // of whose address the graphs are
  std::array<Recording, 3> parts_;
  std::string why_;
};

}  // namespace muster::cuda

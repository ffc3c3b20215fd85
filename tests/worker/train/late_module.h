// The module's table with a stream that is late: what is put on it happens when somebody waits for it
// and no sooner, so that what is read without waiting is not there, and what was overwritten too early
// is seen. One context at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <utility>

#include "worker/cuda/module.h"

extern "C" const MusterCudaModule* muster_cuda_module();

namespace muster::train {

class LateStream {
 public:
  static LateStream& The() {
    static LateStream stream;
    return stream;
  }
  // Of the emulator's module.
  static const MusterCudaModule& Table();

  std::size_t waiting() const { return queue_.size(); }

 private:
  using Operation = std::function<int32_t(MusterCudaText)>;

  static const MusterCudaModule& Real() { return *muster_cuda_module(); }
  static int32_t Put(Operation operation) {
    The().queue_.push_back(std::move(operation));
    ++The().put_;
    return 0;
  }
  static int32_t RunUntil(std::uint64_t end, MusterCudaText message) {
    LateStream& s = The();
    int32_t failed = 0;
    while (failed == 0 && s.put_ - s.queue_.size() < end) {
      failed = s.queue_.front()(message);
      s.queue_.pop_front();
    }
    return failed;
  }
  static int32_t RunAll(MusterCudaText message) { return RunUntil(The().put_, message); }

  std::deque<Operation> queue_;
  std::uint64_t put_ = 0;
  std::map<void*, std::uint64_t> recorded_;  // how many operations an event is behind
};

inline const MusterCudaModule& LateStream::Table() {
  using C = MusterCudaContext*;
  using T = MusterCudaText;
  static const MusterCudaModule table = [] {
    MusterCudaModule t = Real();
    t.to_device = [](C c, const void* host, void* device, int64_t bytes, T) {
      return Put([=](T text) { return Real().to_device(c, host, device, bytes, text); });
    };
    t.to_host = [](C c, const void* device, void* host, int64_t bytes, T) {
      return Put([=](T text) { return Real().to_host(c, device, host, bytes, text); });
    };
    t.clear = [](C c, void* device, int64_t bytes, T) {
      return Put([=](T text) { return Real().clear(c, device, bytes, text); });
    };
    t.quantise_add = [](C c, const float* g, const MusterCudaSums* sums, double scale,
                        int64_t limit, MusterCudaTold* told, T) {
      return Put([=, s = *sums](T text) {
        return Real().quantise_add(c, g, &s, scale, limit, told, text);
      });
    };
    t.squares = [](C c, const MusterCudaSums* sums, double factor, double* blocks, T) {
      return Put([=, s = *sums](T text) { return Real().squares(c, &s, factor, blocks, text); });
    };
    t.checksum = [](C c, const MusterCudaSums* sums, uint64_t* out, T) {
      return Put([=, s = *sums](T text) { return Real().checksum(c, &s, out, text); });
    };
    t.update = [](C c, const MusterCudaSums* sums, double factor, const MusterCudaAdamW* adam,
                  float* w, float* m, float* v, MusterCudaFolds* folds, T) {
      return Put([=, s = *sums, a = *adam](T text) {
        return Real().update(c, &s, factor, &a, w, m, v, folds, text);
      });
    };
    t.digest = [](C c, const float* values, int64_t length, uint64_t index, uint32_t stream,
                  uint64_t* fold, T) {
      return Put(
          [=](T text) { return Real().digest(c, values, length, index, stream, fold, text); });
    };
    t.event_record = [](C, void* event, T) -> int32_t {
      The().recorded_[event] = The().put_;
      return 0;
    };
    t.event_synchronise = [](C, void* event, T text) {
      return RunUntil(The().recorded_[event], text);
    };
    t.synchronise = [](C, T text) { return RunAll(text); };
    t.release = [](C c, void* device) {
      (void)RunAll({nullptr, 0});  // as cudaFree
      Real().release(c, device);
    };
    return t;
  }();
  return table;
}

}  // namespace muster::train

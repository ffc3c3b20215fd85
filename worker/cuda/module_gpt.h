// The functions of the module's table that are a GPT's; module.h says what they do.
#pragma once

#include "worker/cuda/module.h"

namespace muster::cuda {

int32_t GptBytes(const MusterCudaGptConfig* config, int64_t* bytes, MusterCudaText message);
int32_t CreateGpt(MusterCudaContext* context, const MusterCudaGptConfig* config,
                  MusterCudaGpt** out, MusterCudaText message);
void DestroyGpt(MusterCudaGpt* gpt);
int64_t GptProducts(const MusterCudaGpt* gpt);
int32_t GptTable(const MusterCudaGpt* gpt, MusterCudaText table, MusterCudaText message);
int32_t GptGraphsOf(const MusterCudaGpt* gpt, MusterCudaText why);
const char* GptAttention(const MusterCudaGpt* gpt);
int32_t GptSlot(MusterCudaGpt* gpt, const float* device_weights, const int32_t* tokens,
                const MusterCudaSlotKey* key, MusterCudaFinished finished, void* user,
                double* device_loss, int64_t* counted, MusterCudaText message);
int32_t EvaluateGpt(MusterCudaGpt* gpt, const float* device_weights, const int32_t* tokens,
                    int32_t rows, double* device_loss, int64_t* counted, MusterCudaText message);

}  // namespace muster::cuda

// The interface of libmuster_cuda.so, which muster-worker loads where it finds a GPU: plain C
// types, one exported function, no header of CUDA.
//
// The module exports muster_cuda_module alone; it returns a table that lives as long as the module
// is loaded. The first two fields never change their place, so that a program can refuse a module
// of another version before it looks at the rest. Functions that can fail return 0 on success and
// otherwise write one sentence, cut to the message's size, with a closing zero.
//
// Pointers named device_* are of the device's memory and only passed back. Launches return at once;
// what they compute is there when synchronise has returned. Lengths are elements; `index` is the
// flat index of the first one.
//
// Thread rule: one thread at a time for each context.
#pragma once

#include <stdint.h>

#define MUSTER_CUDA_INTERFACE 6
#define MUSTER_CUDA_ENTRY "muster_cuda_module"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct MusterCudaContext MusterCudaContext;

typedef struct MusterCudaText {
  char* text;
  int32_t size;
} MusterCudaText;

// As kernels::AdamWConstants, which has the formulas.
typedef struct MusterCudaAdamW {
  float beta1, one_minus_beta1, beta2, one_minus_beta2;
  float gradient_scale, step_size, inverse_correction2, epsilon, keep;
} MusterCudaAdamW;

// Over one vector. max_abs: bits of the greatest |g|.
enum { MUSTER_CUDA_NOT_FINITE = 1, MUSTER_CUDA_SATURATED = 2 };  // flags
typedef struct MusterCudaTold {
  uint64_t checksum;
  uint32_t flags;
  uint32_t max_abs;
} MusterCudaTold;

typedef struct MusterCudaFolds {
  uint64_t weights, first, second;
} MusterCudaFolds;

// A vector of sums; `kind` says of what.
#define MUSTER_CUDA_SQUARE_BLOCK 4096
enum { MUSTER_CUDA_INT64 = 0, MUSTER_CUDA_INT32 = 1, MUSTER_CUDA_FLOAT = 2 };
typedef struct MusterCudaSums {
  int32_t kind;
  void* device_sums;
  int64_t length;
  uint64_t index;
} MusterCudaSums;

// Residual sum and LayerNorm over rows of a width, all of the device's memory. Forward: stream +=
// branch (when there is one), then y, mean and rstd of it. Backward: dx += what passes back of dy,
// and dgain, dbias.
typedef struct MusterCudaNorm {
  int64_t rows, width;
  float* stream;
  const float* branch;  // null: the stream stays as it is
  const float *gain, *bias;
  float *y, *mean, *rstd;
  const float* dy;
  float *dx, *dgain, *dbias;
} MusterCudaNorm;

// A GPT-2 as worker/model's: the same flat weights, tokens, dropout and order of gradients. The
// width of a head is a multiple of 16 up to 128. What is stored and multiplied is bfloat16, sums and
// statistics are float.
typedef struct MusterCudaGpt MusterCudaGpt;
#define MUSTER_CUDA_SLOTS_AHEAD 2
enum { MUSTER_CUDA_PRODUCTS_OWN = 0, MUSTER_CUDA_PRODUCTS_CUBLASLT = 1 };
// cuDNN is asked for contexts of multiples of this.
#define MUSTER_CUDA_CUDNN_CONTEXT 128
enum { MUSTER_CUDA_ATTENTION_OWN = 0, MUSTER_CUDA_ATTENTION_CUDNN = 1 };
typedef struct MusterCudaGptConfig {
  int32_t layers, heads, width, context, batch, vocabulary;
  int32_t recompute;   // 0: keeps all, 1: makes GELU's output again, 2: the norms' too
  int32_t products;    // who multiplies matrices
  int32_t attention;   // who computes attention
  int32_t chunk_rows;  // rows of logits that are there at a time
  int32_t graphs;      // 1: slots are launched as CUDA graphs, where that can be; same bits
  // With cuBLASLt. A closed text (product_table.h), read while the GPT is made; null: none. tune 1: each
  // product's algorithm is found by timing, to make a table.
  const char* table;
  int32_t tune;
  double dropout;
} MusterCudaGptConfig;

// What randomness is keyed by (E2).
typedef struct MusterCudaSlotKey {
  uint64_t seed;
  int64_t step;
  int32_t slot;
} MusterCudaSlotKey;

// Called while a slot is enqueued, once for each tensor, in the order of worker/model's program: the
// tied embedding last. The gradient is that of the mean loss over the slot's tokens. It is there
// for what is launched on the context until the callback returns, and then overwritten. Other than
// 0 ends the slot.
typedef int32_t (*MusterCudaFinished)(void* user, int32_t tensor, const float* device_gradient,
                                      int64_t length);

// What NCCL's owner thread asks of CUDA (worker/nccl/library.h): results are cudaError_t.
typedef struct MusterCudaRuntime {
  int (*event_record)(void* event, void* stream);
  int (*event_query)(void* event);
  int (*stream_wait)(void* stream, void* event);  // what follows on the stream waits for the event
  int (*device_synchronise)(void);
  int (*get_last_error)(void);
  const char* (*error_string)(int error);
} MusterCudaRuntime;

// Copies between the device and the host beside what the context's stream does: on a stream of their
// own, `copies`, from and to page-locked memory. The functions that say so may be called by any
// thread, the others by the context's.
typedef struct MusterCudaStaging {
  // Page-locked memory of the host, not initialised: copies from and to it wait for nobody. Any
  // thread.
  int32_t (*allocate_host)(MusterCudaContext* context, int64_t bytes, void** host,
                           MusterCudaText message);
  void (*release_host)(MusterCudaContext* context, void* host);
  // cudaStream_t. Any thread.
  void* (*copies)(MusterCudaContext* context);
  // Copies begin when those before them have ended. From and to ordinary memory of the host they are
  // over when the function returns, or the host's side was read. Any thread.
  int32_t (*copy_to_host)(MusterCudaContext* context, const void* device, void* host, int64_t bytes,
                          MusterCudaText message);
  int32_t (*copy_to_device)(MusterCudaContext* context, const void* host, void* device,
                            int64_t bytes, MusterCudaText message);
  // The event is done when all copies up to now are; the second blocks until then. Any thread.
  int32_t (*record)(MusterCudaContext* context, void* event, MusterCudaText message);
  int32_t (*await)(MusterCudaContext* context, void* event, MusterCudaText message);
  // Copies from now on begin when all that was launched by now has ended ...
  int32_t (*copies_follow)(MusterCudaContext* context, MusterCudaText message);
  // ... and launches from now on when all copies up to now have ended.
  int32_t (*launches_follow)(MusterCudaContext* context, MusterCudaText message);
} MusterCudaStaging;

typedef struct MusterCudaModule {
  uint32_t interface_version;  // MUSTER_CUDA_INTERFACE
  const char* build;           // of the sources that module and program share (worker/cuda)
  int32_t cuda_version;        // 13000 for 13.0
  const char* architectures;   // "sm_80 sm_90 sm_100 compute_100"

  // A context owns one device, the stream that everything below is put on, and one for copies. At most
  // one context a process and device.
  int32_t (*create)(int32_t ordinal, MusterCudaContext** out, MusterCudaText message);
  void (*destroy)(MusterCudaContext* context);

  // For a thread that makes CUDA's calls itself: from then on they are of this context's device.
  int32_t (*bind)(MusterCudaContext* context, MusterCudaText message);
  // The context's stream, and an event without times that its maker destroys: cudaStream_t and
  // cudaEvent_t.
  void* (*stream)(MusterCudaContext* context);
  int32_t (*event_create)(MusterCudaContext* context, void** event, MusterCudaText message);
  void (*event_destroy)(MusterCudaContext* context, void* event);
  // Done when what is on the context's stream by now is done.
  int32_t (*event_record)(MusterCudaContext* context, void* event, MusterCudaText message);
  int32_t (*event_synchronise)(MusterCudaContext* context, void* event, MusterCudaText message);
  // Another stream of the device, which waits for no other one.
  int32_t (*stream_create)(MusterCudaContext* context, void** stream, MusterCudaText message);
  void (*stream_destroy)(MusterCudaContext* context, void* stream);
  MusterCudaRuntime runtime;
  MusterCudaStaging staging;

  int32_t (*allocate)(MusterCudaContext* context, int64_t bytes, void** device,
                      MusterCudaText message);
  void (*release)(MusterCudaContext* context, void* device);
  // The host's memory must stay until synchronise has returned.
  int32_t (*to_device)(MusterCudaContext* context, const void* host, void* device, int64_t bytes,
                       MusterCudaText message);
  int32_t (*to_host)(MusterCudaContext* context, const void* device, void* host, int64_t bytes,
                     MusterCudaText message);
  // Within the device: every byte becomes 0; bytes of one place to another that it does not meet.
  int32_t (*clear)(MusterCudaContext* context, void* device, int64_t bytes, MusterCudaText message);
  int32_t (*copy)(MusterCudaContext* context, const void* device_from, void* device_to,
                  int64_t bytes, MusterCudaText message);
  int32_t (*synchronise)(MusterCudaContext* context, MusterCudaText message);

  // sums += a tensor's gradient: quantised (int64 and int32), or as it is (float: scale and limit
  // are not read). Without device_sums nothing is added. What it told is merged into device_told,
  // which the caller zeroes.
  int32_t (*quantise_add)(MusterCudaContext* context, const float* device_gradient,
                          const MusterCudaSums* sums, double scale, int64_t limit,
                          MusterCudaTold* device_told, MusterCudaText message);
  // Sum of (sums x factor)^2 of each MUSTER_CUDA_SQUARE_BLOCK elements, all kinds; the caller adds
  // the blocks up (worker/exact/norm.h).
  int32_t (*squares)(MusterCudaContext* context, const MusterCudaSums* sums, double factor,
                     double* device_blocks, MusterCudaText message);
  // Mean gradients of reduced sums, all kinds.
  int32_t (*dequantise)(MusterCudaContext* context, const MusterCudaSums* sums, double factor,
                        float* device_out, MusterCudaText message);
  // *device_checksum += the linear checksum (int64 and int32).
  int32_t (*checksum)(MusterCudaContext* context, const MusterCudaSums* sums,
                      uint64_t* device_checksum, MusterCudaText message);
  // Dequantise, AdamW, digest in one pass over one tensor; *device_folds += what the state became.
  int32_t (*update)(MusterCudaContext* context, const MusterCudaSums* reduced, double factor,
                    const MusterCudaAdamW* constants, float* device_w, float* device_m,
                    float* device_v, MusterCudaFolds* device_folds, MusterCudaText message);
  // *device_fold += the digest's fold of a vector as it is.
  int32_t (*digest)(MusterCudaContext* context, const float* device_values, int64_t length,
                    uint64_t index, uint32_t stream, uint64_t* device_fold, MusterCudaText message);

  int32_t (*norm_forward)(MusterCudaContext* context, const MusterCudaNorm* norm,
                          MusterCudaText message);
  int32_t (*norm_backward)(MusterCudaContext* context, const MusterCudaNorm* norm,
                           MusterCudaText message);

  // Device memory that a GPT takes beside its weights; known without a GPU.
  int32_t (*gpt_bytes)(const MusterCudaGptConfig* config, int64_t* bytes, MusterCudaText message);
  // All of it is taken here; a slot takes none. Outlived by its context.
  int32_t (*gpt_create)(MusterCudaContext* context, const MusterCudaGptConfig* config,
                        MusterCudaGpt** out, MusterCudaText message);
  void (*gpt_destroy)(MusterCudaGpt* gpt);
  // Who multiplies: cuBLASLt's version as it numbers itself, 0 for our own kernels.
  int64_t (*gpt_products)(const MusterCudaGpt* gpt);
  // Who computes attention, as members must share it: cuDNN with version and engines, empty for our
  // own kernels. It lives as long as the GPT.
  const char* (*gpt_attention)(const MusterCudaGpt* gpt);
  // The table of what makes the products so far; with cuBLASLt.
  int32_t (*gpt_table)(const MusterCudaGpt* gpt, MusterCudaText table, MusterCudaText message);
  // How many CUDA graphs passes launch: none before the second pass of a kind, and none where making
  // them failed; then `why` has a sentence.
  int32_t (*gpt_graphs)(const MusterCudaGpt* gpt, MusterCudaText why);
  // Forward and backward of one slot of batch x (context + 1) tokens, which have been read when this
  // returns. Three slots may be in flight; a fourth waits for the first one's inputs to be read.
  // *device_loss = the sum of the losses in nats, in row order;
  // *counted is of how many tokens.
  int32_t (*gpt_slot)(MusterCudaGpt* gpt, const float* device_weights, const int32_t* tokens,
                      const MusterCudaSlotKey* key, MusterCudaFinished finished, void* user,
                      double* device_loss, int64_t* counted, MusterCudaText message);
  // Forward without dropout; the first `rows` samples count.
  int32_t (*gpt_evaluate)(MusterCudaGpt* gpt, const float* device_weights, const int32_t* tokens,
                          int32_t rows, double* device_loss, int64_t* counted,
                          MusterCudaText message);

  // Memory of the whole device, whoever has taken it.
  int32_t (*memory)(MusterCudaContext* context, int64_t* free_bytes, int64_t* total_bytes,
                    MusterCudaText message);
} MusterCudaModule;

typedef const MusterCudaModule* (*MusterCudaEntry)(void);

#ifdef __cplusplus
}
#endif

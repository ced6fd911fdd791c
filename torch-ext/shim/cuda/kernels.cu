// Fused layers over channels-last features, compiled by NVRTC for the installed GPU. No header is included:
// table.h is prepended to this file.
//
// The layers between two convolutions are limited by memory bandwidth, so each kernel reads and writes the
// features as rarely as possible. Arithmetic is float32; features are float32 or bfloat16. Sums have a fixed
// order, without atomics, so the same input gives the same bits.
//
// A thread processes four adjacent channels of several pixels; `lanes` threads cover the channels of a
// pixel. A block of the batch norm has a multiple of `lanes` threads; a block that is summed over has a
// multiple of 32 threads.

#ifdef IO_BF16
typedef ushort4 Pack;
__device__ __forceinline__ float widen(unsigned short bits) { return __uint_as_float((unsigned)bits << 16); }
__device__ __forceinline__ unsigned short narrow(float value) {
  unsigned bits = __float_as_uint(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (unsigned short)((bits >> 16) | 0x40u);
  return (unsigned short)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
__device__ __forceinline__ float4 load(const Pack *from) {
  ushort4 v = *from;
  return make_float4(widen(v.x), widen(v.y), widen(v.z), widen(v.w));
}
__device__ __forceinline__ void store(Pack *to, float4 v) {
  *to = make_ushort4(narrow(v.x), narrow(v.y), narrow(v.z), narrow(v.w));
}
#else
typedef float4 Pack;
__device__ __forceinline__ float4 load(const Pack *from) { return *from; }
__device__ __forceinline__ void store(Pack *to, float4 v) { *to = v; }
#endif

#define EACH(i) for (int i = 0; i < 4; ++i)
struct Four {
  float v[4];
  __device__ __forceinline__ Four() { EACH(i) v[i] = 0.f; }
  __device__ __forceinline__ Four(float4 f) { v[0] = f.x, v[1] = f.y, v[2] = f.z, v[3] = f.w; }
  __device__ __forceinline__ operator float4() const { return make_float4(v[0], v[1], v[2], v[3]); }
};
__device__ __forceinline__ Four parameters(const float *of, int lane) { return Four(((const float4 *)of)[lane]); }

// As in torch's max pool: NaN is greater than every number.
__device__ __forceinline__ bool greater(float a, float b) { return a > b || a != a; }
// As in torch's ReLU: NaN stays NaN.
__device__ __forceinline__ float rectify(float x) { return x <= 0.f ? 0.f : x; }
// The gradient of ReLU at `x`.
__device__ __forceinline__ float relu_gradient(float x, float gradient) { return x <= 0.f ? 0.f : gradient; }

// Sums two times four channels over the threads of a block that share a lane, in the order of the threads.
__device__ void over_rows(Four &a, Four &b, int lanes, float4 *shared) {
  int rows = blockDim.x / lanes;
  shared[threadIdx.x] = a;
  shared[blockDim.x + threadIdx.x] = b;
  __syncthreads();
  if (threadIdx.x < lanes) {
    for (int row = 1; row < rows; ++row) {
      Four more(shared[row * lanes + threadIdx.x]), too(shared[blockDim.x + row * lanes + threadIdx.x]);
      EACH(i) a.v[i] += more.v[i], b.v[i] += too.v[i];
    }
  }
  __syncthreads();
}

// Returns the sums of two numbers over a block, in every thread.
__device__ float2 over_block(float a, float b, float2 *shared) {
  for (int offset = 16; offset; offset >>= 1) {
    a += __shfl_down_sync(0xffffffffu, a, offset);
    b += __shfl_down_sync(0xffffffffu, b, offset);
  }
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = make_float2(a, b);
  __syncthreads();
  float2 sum = make_float2(0.f, 0.f);
  for (int warp = 0; warp < (blockDim.x + 31) / 32; ++warp) sum.x += shared[warp].x, sum.y += shared[warp].y;
  __syncthreads();
  return sum;
}

// ---- batch norm, with or without ReLU and a 2x2 max pool ----

// Partial sums of (x - x0) and its square. x0 is the channel's first value; subtracting it avoids
// cancellation.
extern "C" __global__ void bn_sums(const Pack *x, float4 *partial, int pixels, int lanes) {
  extern __shared__ float4 shared[];
  int lane = threadIdx.x % lanes, row = threadIdx.x / lanes, rows = blockDim.x / lanes;
  Four first(load(x + lane)), sum, square;
  for (long long at = (long long)blockIdx.x * rows + row; at < pixels; at += (long long)gridDim.x * rows) {
    Four value(load(x + at * lanes + lane));
    EACH(i) {
      float d = value.v[i] - first.v[i];
      sum.v[i] += d, square.v[i] += d * d;
    }
  }
  over_rows(sum, square, lanes, shared);
  if (threadIdx.x < lanes) {
    partial[(2 * blockIdx.x) * lanes + lane] = sum;
    partial[(2 * blockIdx.x + 1) * lanes + lane] = square;
  }
}

// One block per channel: sums the two partial sums over the blocks that computed them.
__device__ float2 over_blocks(const float *partial, int blocks, int channels) {
  __shared__ float2 shared[32];
  float first = 0.f, second = 0.f;
  for (int block = threadIdx.x; block < blocks; block += blockDim.x) {
    first += partial[(2 * block) * channels + blockIdx.x];
    second += partial[(2 * block + 1) * channels + blockIdx.x];
  }
  return over_block(first, second, shared);
}

// One block per channel: mean, 1 / standard deviation, and the running statistics.
extern "C" __global__ void bn_statistics(const Pack *x, const float *partial, int blocks, int channels, int pixels,
                                         float eps, float momentum, float *mean, float *invstd, float *running_mean,
                                         float *running_var) {
  int channel = blockIdx.x;
  float2 all = over_blocks(partial, blocks, channels);
  if (threadIdx.x) return;
  float shift = all.x / pixels;
  float variance = all.y / pixels - shift * shift;
  if (variance < 0.f) variance = 0.f;
  float average = Four(load(x + channel / 4)).v[channel % 4] + shift;
  mean[channel] = average;
  invstd[channel] = rsqrtf(variance + eps);
  running_mean[channel] += momentum * (average - running_mean[channel]);
  float unbiased = pixels > 1 ? variance * ((float)pixels / (pixels - 1)) : variance;
  running_var[channel] += momentum * (unbiased - running_var[channel]);
}

// One block per channel: this rank's part of the sums over all ranks of (x - s) and its square, where s is the
// running mean, which all ranks know; and its number of pixels. All of it is 0 if the rank is left out.
extern "C" __global__ void bn_message(const Pack *x, const float *partial, int blocks, int channels, int pixels,
                                      const float *running_mean, const float *present, float *message) {
  int channel = blockIdx.x;
  float2 all = over_blocks(partial, blocks, channels);
  if (threadIdx.x) return;
  float weight = *present;
  float by = Four(load(x + channel / 4)).v[channel % 4] - running_mean[channel];
  message[channel] = weight * (all.x + by * pixels);
  message[channels + channel] = weight * (all.y + by * (2.f * all.x + by * pixels));
  if (channel == 0) message[2 * channels] = weight * pixels;
}

// From the summed messages: mean, 1 / standard deviation, and the running statistics.
extern "C" __global__ void bn_statistics_of_ranks(const float *message, int channels, float eps, float momentum,
                                                  float *mean, float *invstd, float *running_mean,
                                                  float *running_var) {
  int channel = blockIdx.x * blockDim.x + threadIdx.x;
  if (channel >= channels) return;
  float count = message[2 * channels];
  float shift = message[channel] / count;
  float variance = message[channels + channel] / count - shift * shift;
  if (variance < 0.f) variance = 0.f;
  float average = running_mean[channel] + shift;
  mean[channel] = average;
  invstd[channel] = rsqrtf(variance + eps);
  running_mean[channel] += momentum * shift;
  float unbiased = count > 1.f ? variance * (count / (count - 1.f)) : variance;
  running_var[channel] += momentum * (unbiased - running_var[channel]);
}

struct Window {
  long long corner;
  int right, down;
};
// Returns the pooling window of an output pixel; without pooling, the pixel itself.
__device__ __forceinline__ Window window(long long at, int width, int pool) {
  if (!pool) return {at, 0, 0};
  int half = width / 2;
  long long line = at / half;
  return {line * 2 * width + (at % half) * 2, 1, width};
}

struct Affine {
  Four scale, shift, mean, invstd, weight;
  __device__ __forceinline__ Affine(const float *m, const float *s, const float *w, const float *b, int lane)
      : mean(parameters(m, lane)), invstd(parameters(s, lane)), weight(parameters(w, lane)) {
    Four bias = parameters(b, lane);
    EACH(i) {
      scale.v[i] = weight.v[i] * invstd.v[i];
      shift.v[i] = bias.v[i] - mean.v[i] * scale.v[i];
    }
  }
};

extern "C" __global__ void bn_forward(const Pack *x, const float *mean, const float *invstd, const float *weight,
                                      const float *bias, Pack *out, long long outputs, int lanes, int width, int pool,
                                      int relu) {
  int lane = threadIdx.x % lanes, row = threadIdx.x / lanes, rows = blockDim.x / lanes;
  Affine norm(mean, invstd, weight, bias, lane);
  for (long long at = (long long)blockIdx.x * rows + row; at < outputs; at += (long long)gridDim.x * rows) {
    Window w = window(at, width, pool);
    Four best;
    for (int k = 0; k < (pool ? 4 : 1); ++k) {
      long long pixel = w.corner + (k & 1) * w.right + (k >> 1) * w.down;
      Four value(load(x + pixel * lanes + lane));
      EACH(i) {
        float y = value.v[i] * norm.scale.v[i] + norm.shift.v[i];
        if (k == 0 || greater(y, best.v[i])) best.v[i] = y;
      }
    }
    if (relu) EACH(i) best.v[i] = rectify(best.v[i]);
    store(out + at * lanes + lane, best);
  }
}

// Computes the gradient of each pixel of a window through pool and ReLU, and the normalised pixels.
template <int N>
__device__ __forceinline__ void reached(const Pack *x, const Pack *gradient, const Affine &norm, Window w, long long at,
                                        int lanes, int lane, int relu, Four (&reach)[N], Four (&hat)[N]) {
  Four best, g(load(gradient + at * lanes + lane));
  int chosen[4] = {0, 0, 0, 0};
#pragma unroll
  for (int k = 0; k < N; ++k) {
    long long pixel = w.corner + (k & 1) * w.right + (k >> 1) * w.down;
    Four value(load(x + pixel * lanes + lane));
    EACH(i) {
      hat[k].v[i] = (value.v[i] - norm.mean.v[i]) * norm.invstd.v[i];
      float y = value.v[i] * norm.scale.v[i] + norm.shift.v[i];
      if (k == 0 || greater(y, best.v[i])) best.v[i] = y, chosen[i] = k;
    }
  }
#pragma unroll
  for (int k = 0; k < N; ++k)
    EACH(i) reach[k].v[i] = chosen[i] == k ? (relu ? relu_gradient(best.v[i], g.v[i]) : g.v[i]) : 0.f;
}

// Partial sums of the gradient and of the gradient times the normalised feature.
template <int N>
__device__ void gradient_sums(const Pack *x, const Pack *gradient, const Affine &norm, float4 *partial,
                              long long outputs, int lanes, int width, int relu, float4 *shared) {
  int lane = threadIdx.x % lanes, row = threadIdx.x / lanes, rows = blockDim.x / lanes;
  Four sum, dot;
  for (long long at = (long long)blockIdx.x * rows + row; at < outputs; at += (long long)gridDim.x * rows) {
    Four reach[N], hat[N];
    reached<N>(x, gradient, norm, window(at, width, N == 4), at, lanes, lane, relu, reach, hat);
#pragma unroll
    for (int k = 0; k < N; ++k) EACH(i) sum.v[i] += reach[k].v[i], dot.v[i] += reach[k].v[i] * hat[k].v[i];
  }
  over_rows(sum, dot, lanes, shared);
  if (threadIdx.x < lanes) {
    partial[(2 * blockIdx.x) * lanes + lane] = sum;
    partial[(2 * blockIdx.x + 1) * lanes + lane] = dot;
  }
}

extern "C" __global__ void bn_backward_sums(const Pack *x, const Pack *gradient, const float *mean,
                                            const float *invstd, const float *weight, const float *bias,
                                            float4 *partial, long long outputs, int lanes, int width, int pool,
                                            int relu) {
  extern __shared__ float4 shared[];
  Affine norm(mean, invstd, weight, bias, threadIdx.x % lanes);
  if (pool)
    gradient_sums<4>(x, gradient, norm, partial, outputs, lanes, width, relu, shared);
  else
    gradient_sums<1>(x, gradient, norm, partial, outputs, lanes, width, relu, shared);
}

// `message`, which may be null, gets both gradients of this rank, to be summed over all ranks.
extern "C" __global__ void bn_backward_finish(const float *partial, int blocks, int channels, float *weight_gradient,
                                              float *bias_gradient, float *message) {
  float2 all = over_blocks(partial, blocks, channels);
  if (threadIdx.x) return;
  bias_gradient[blockIdx.x] = all.x, weight_gradient[blockIdx.x] = all.y;
  if (message) message[blockIdx.x] = all.x, message[channels + blockIdx.x] = all.y;
}

template <int N>
__device__ void spread(const Pack *x, const Pack *gradient, const Affine &norm, Four sum, Four dot, Pack *out,
                       long long outputs, int lanes, int width, int relu, float inverse) {
  int lane = threadIdx.x % lanes, row = threadIdx.x / lanes, rows = blockDim.x / lanes;
  for (long long at = (long long)blockIdx.x * rows + row; at < outputs; at += (long long)gridDim.x * rows) {
    Four reach[N], hat[N];
    Window w = window(at, width, N == 4);
    reached<N>(x, gradient, norm, w, at, lanes, lane, relu, reach, hat);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      Four back;
      EACH(i) back.v[i] = norm.scale.v[i] * (reach[k].v[i] - (sum.v[i] + hat[k].v[i] * dot.v[i]) * inverse);
      long long pixel = w.corner + (k & 1) * w.right + (k >> 1) * w.down;
      store(out + pixel * lanes + lane, back);
    }
  }
}

extern "C" __global__ void bn_backward(const Pack *x, const Pack *gradient, const float *mean, const float *invstd,
                                       const float *weight, const float *bias, const float *weight_gradient,
                                       const float *bias_gradient, Pack *out, long long outputs, int lanes, int width,
                                       int pool, int relu, float inverse, const float *count, const float *present) {
  int lane = threadIdx.x % lanes;
  Affine norm(mean, invstd, weight, bias, lane);
  // A rank that is left out has no part in the statistics, and none in their gradient.
  if (count) inverse = *present / *count;
  Four sum = parameters(bias_gradient, lane), dot = parameters(weight_gradient, lane);
  if (pool)
    spread<4>(x, gradient, norm, sum, dot, out, outputs, lanes, width, relu, inverse);
  else
    spread<1>(x, gradient, norm, sum, dot, out, outputs, lanes, width, relu, inverse);
}

// ---- x + gain * relu(group norm(branch)) ----
// One block per sample and group; `lanes` counts those of the group, `all` those of a pixel.

extern "C" __global__ void gn_forward(const Pack *x, const Pack *branch, const float *weight, const float *bias,
                                      const float *gain, Pack *out, float *mean, float *rstd, int pixels, int lanes,
                                      int all, float eps) {
  __shared__ float2 shared[32];
  int lane = threadIdx.x % lanes, row = threadIdx.x / lanes, rows = blockDim.x / lanes;
  int at = blockIdx.y * lanes + lane;
  const Pack *from = branch + (long long)blockIdx.x * pixels * all + at;
  float count = 4.f * pixels * lanes;
  float sum = 0.f, square = 0.f;
  if (row < rows)
    for (int p = row; p < pixels; p += rows) {
      Four v(load(from + (long long)p * all));
      EACH(i) sum += v.v[i];
    }
  float average = over_block(sum, 0.f, shared).x / count;
  if (row < rows)
    for (int p = row; p < pixels; p += rows) {
      Four v(load(from + (long long)p * all));
      EACH(i) square += (v.v[i] - average) * (v.v[i] - average);
    }
  float inverse = rsqrtf(over_block(square, 0.f, shared).x / count + eps);
  int sample = blockIdx.x * gridDim.y + blockIdx.y;
  if (threadIdx.x == 0) mean[sample] = average, rstd[sample] = inverse;
  if (row >= rows) return;
  Four w = parameters(weight, at), b = parameters(bias, at), g = parameters(gain, at);
  const Pack *host = x + (long long)blockIdx.x * pixels * all + at;
  Pack *to = out + (long long)blockIdx.x * pixels * all + at;
  for (int p = row; p < pixels; p += rows) {
    Four v(load(from + (long long)p * all)), h(load(host + (long long)p * all));
    EACH(i) h.v[i] += g.v[i] * rectify((v.v[i] - average) * inverse * w.v[i] + b.v[i]);
    store(to + (long long)p * all, h);
  }
}

// The gradient of the branch, and per sample the sums for the gradients of gain, weight and bias.
extern "C" __global__ void gn_backward(const Pack *gradient, const Pack *branch, const float *weight,
                                       const float *bias, const float *gain, const float *mean, const float *rstd,
                                       Pack *out, float4 *partial, int pixels, int lanes, int all) {
  extern __shared__ float4 shared[];
  __shared__ float2 pair[32];
  int lane = threadIdx.x % lanes, row = threadIdx.x / lanes, rows = blockDim.x / lanes;
  int at = blockIdx.y * lanes + lane;
  long long start = (long long)blockIdx.x * pixels * all + at;
  int sample = blockIdx.x * gridDim.y + blockIdx.y;
  float average = mean[sample], inverse = rstd[sample];
  Four w = parameters(weight, at), b = parameters(bias, at), g = parameters(gain, at);
  Four of_gain, of_weight, of_bias, unused;
  float count = 4.f * pixels * lanes;
  // The remaining threads, which are too few for another row, only take part in the sums.
  if (row >= rows) pixels = 0;
  for (int p = row; p < pixels; p += rows) {
    Four v(load(branch + start + (long long)p * all)), d(load(gradient + start + (long long)p * all));
    EACH(i) {
      float hat = (v.v[i] - average) * inverse;
      float z = hat * w.v[i] + b.v[i];
      float dz = relu_gradient(z, d.v[i] * g.v[i]);
      of_gain.v[i] += d.v[i] * rectify(z);
      of_weight.v[i] += dz * hat;
      of_bias.v[i] += dz;
    }
  }
  // These use each thread's own sums, so they must precede the sum over rows.
  float sum = 0.f, dot = 0.f;
  EACH(i) sum += of_bias.v[i] * w.v[i], dot += of_weight.v[i] * w.v[i];
  float2 group = over_block(sum, dot, pair);
  over_rows(of_weight, of_bias, lanes, shared);
  over_rows(of_gain, unused, lanes, shared);
  if (threadIdx.x < lanes) {
    long long samples = gridDim.x;
    partial[(0 * samples + blockIdx.x) * all + at] = of_gain;
    partial[(1 * samples + blockIdx.x) * all + at] = of_weight;
    partial[(2 * samples + blockIdx.x) * all + at] = of_bias;
  }
  for (int p = row; p < pixels; p += rows) {
    Four v(load(branch + start + (long long)p * all)), d(load(gradient + start + (long long)p * all)), back;
    EACH(i) {
      float hat = (v.v[i] - average) * inverse;
      float dz = relu_gradient(hat * w.v[i] + b.v[i], d.v[i] * g.v[i]);
      back.v[i] = inverse * (dz * w.v[i] - (group.x + hat * group.y) / count);
    }
    store(out + start + (long long)p * all, back);
  }
}

// Sums over samples: `out[k][channel] = sum of partial[k][sample][channel]`, 32 channels and 8 rows per
// block.
extern "C" __global__ void over_samples(const float *partial, float *out, int samples, int channels) {
  __shared__ float shared[8][33];
  int channel = blockIdx.x * 32 + threadIdx.x % 32, row = threadIdx.x / 32;
  const float *from = partial + (long long)blockIdx.y * samples * channels;
  float sum = 0.f;
  if (channel < channels)
    for (int sample = row; sample < samples; sample += 8) sum += from[(long long)sample * channels + channel];
  shared[row][threadIdx.x % 32] = sum;
  __syncthreads();
  if (row == 0 && channel < channels) {
    for (int other = 1; other < 8; ++other) sum += shared[other][threadIdx.x % 32];
    out[blockIdx.y * channels + channel] = sum;
  }
}

// ---- lerp by one alpha ----

extern "C" __global__ void lerp_forward(const Pack *host, const Pack *seed, const float *alpha, Pack *out,
                                        long long packs) {
  float a = *alpha;
  for (long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x; at < packs;
       at += (long long)gridDim.x * blockDim.x) {
    Four h(load(host + at)), s(load(seed + at));
    // As in torch: from the nearer end, so that alpha 0 and 1 are exact.
    EACH(i) h.v[i] = a < 0.5f ? h.v[i] + a * (s.v[i] - h.v[i]) : s.v[i] - (s.v[i] - h.v[i]) * (1.f - a);
    store(out + at, h);
  }
}

extern "C" __global__ void lerp_backward(const Pack *gradient, const float *alpha, Pack *host, Pack *seed,
                                         long long packs) {
  float a = *alpha, rest = 1.f - *alpha;
  for (long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x; at < packs;
       at += (long long)gridDim.x * blockDim.x) {
    Four g(load(gradient + at)), to_host, to_seed;
    EACH(i) to_host.v[i] = g.v[i] * rest, to_seed.v[i] = g.v[i] * a;
    store(host + at, to_host);
    store(seed + at, to_seed);
  }
}

// ---- mean over pixels, then a linear layer ----

// One block per sample: the mean of every channel, then the outputs, one warp for each.
extern "C" __global__ void head_forward(const Pack *x, const float *weight, const float *bias, float *mean, float *out,
                                        int pixels, int lanes, int outputs) {
  extern __shared__ float4 shared[];
  int lane = threadIdx.x % lanes, row = threadIdx.x / lanes, rows = blockDim.x / lanes;
  const Pack *from = x + (long long)blockIdx.x * pixels * lanes + lane;
  Four sum, unused;
  if (row < rows)
    for (int p = row; p < pixels; p += rows) {
      Four v(load(from + (long long)p * lanes));
      EACH(i) sum.v[i] += v.v[i];
    }
  over_rows(sum, unused, lanes, shared);
  if (threadIdx.x < lanes) {
    EACH(i) sum.v[i] /= pixels;
    shared[lane] = sum;
    ((float4 *)mean)[(long long)blockIdx.x * lanes + lane] = sum;
  }
  __syncthreads();
  const float *means = (const float *)shared;
  int channels = 4 * lanes;
  for (int k = threadIdx.x / 32; k < outputs; k += blockDim.x / 32) {
    float dot = 0.f;
    for (int c = threadIdx.x % 32; c < channels; c += 32) dot += means[c] * weight[(long long)k * channels + c];
    for (int offset = 16; offset; offset >>= 1) dot += __shfl_down_sync(0xffffffffu, dot, offset);
    if (threadIdx.x % 32 == 0) out[(long long)blockIdx.x * outputs + k] = dot + bias[k];
  }
}

// One block per sample: all its pixels have the same gradient.
extern "C" __global__ void head_backward(const float *gradient, const float *weight, Pack *out, int pixels, int lanes,
                                         int outputs) {
  extern __shared__ float4 shared[];
  if (threadIdx.x < lanes) {
    Four sum;
    for (int k = 0; k < outputs; ++k) {
      float g = gradient[(long long)blockIdx.x * outputs + k];
      Four w = parameters(weight + (long long)k * 4 * lanes, threadIdx.x);
      EACH(i) sum.v[i] += g * w.v[i];
    }
    EACH(i) sum.v[i] /= pixels;
    shared[threadIdx.x] = sum;
  }
  __syncthreads();
  Pack *to = out + (long long)blockIdx.x * pixels * lanes;
  for (int at = threadIdx.x; at < pixels * lanes; at += blockDim.x) store(to + at, shared[at % lanes]);
}

// 32 channels of one output per block: sums over samples.
extern "C" __global__ void head_weights(const float *gradient, const float *mean, float *of_weight, float *of_bias,
                                        int samples, int channels, int outputs) {
  __shared__ float2 shared[8][33];
  int channel = blockIdx.x * 32 + threadIdx.x % 32, row = threadIdx.x / 32, k = blockIdx.y;
  float dot = 0.f, sum = 0.f;
  for (int sample = row; sample < samples; sample += 8) {
    float g = gradient[(long long)sample * outputs + k];
    sum += g;
    if (channel < channels) dot += g * mean[(long long)sample * channels + channel];
  }
  shared[row][threadIdx.x % 32] = make_float2(dot, sum);
  __syncthreads();
  if (row != 0) return;
  for (int other = 1; other < 8; ++other) {
    dot += shared[other][threadIdx.x].x;
    sum += shared[other][threadIdx.x].y;
  }
  if (channel < channels) of_weight[(long long)k * channels + channel] = dot;
  if (channel == 0) of_bias[k] = sum;
}

// ---- optimizers: all parameters of all groups at once ----

// Returns the entry of a block, and writes the block's first element in it to `start`.
__device__ __forceinline__ const Entry &entry_of(const Table &table, unsigned &start) {
  int at = 0;
  while (at + 1 < table.count && table.entries[at + 1].block <= blockIdx.x) ++at;
  start = (blockIdx.x - table.entries[at].block) * kChunk;
  return table.entries[at];
}

// Sets the flag of every group that has a gradient that is not finite.
extern "C" __global__ void optimizer_check(const __grid_constant__ Table table) {
  unsigned start;
  const Entry &entry = entry_of(table, start);
  unsigned end = min(start + kChunk, entry.elements);
  bool bad = false;
  for (unsigned at = start + threadIdx.x; at < end; at += blockDim.x) {
    float g = entry.gradient[at];
    bad |= !(fabsf(g) <= 3.402823466e38f);
  }
  if (__syncthreads_or(bad) && threadIdx.x == 0) *table.found[entry.group] = 1.f;
}

extern "C" __global__ void optimizer_sgd(const __grid_constant__ Table table, float momentum, float weight_decay,
                                         int nesterov) {
  unsigned start;
  const Entry &entry = entry_of(table, start);
  if (*table.found[entry.group] != 0.f) return;
  float rate = *table.rate[entry.group];
  unsigned end = min(start + kChunk, entry.elements);
  for (unsigned at = start + threadIdx.x; at < end; at += blockDim.x) {
    float p = entry.parameter[at], g = entry.gradient[at];
    g += weight_decay * p;
    if (entry.first) {
      float m = momentum * entry.first[at] + g;
      entry.first[at] = m;
      g = nesterov ? g + momentum * m : m;
    }
    entry.parameter[at] = p - rate * g;
  }
}

extern "C" __global__ void optimizer_adamw(const __grid_constant__ Table table, double beta1, double beta2,
                                           float weight_decay, float eps) {
  __shared__ float correction[2];
  unsigned start;
  const Entry &entry = entry_of(table, start);
  if (*table.found[entry.group] != 0.f) return;
  float rate = *table.rate[entry.group];
  if (threadIdx.x == 0) {
    // optimizer_steps has already incremented the counters.
    double step = *entry.step;
    correction[0] = (float)(rate / (1.0 - pow(beta1, step)));
    correction[1] = (float)sqrt(1.0 - pow(beta2, step));
  }
  __syncthreads();
  float size = correction[0], root = correction[1], b1 = (float)beta1, b2 = (float)beta2;
  float r1 = (float)(1.0 - beta1), r2 = (float)(1.0 - beta2);
  unsigned end = min(start + kChunk, entry.elements);
  for (unsigned at = start + threadIdx.x; at < end; at += blockDim.x) {
    float p = entry.parameter[at], g = entry.gradient[at];
    p -= rate * weight_decay * p;
    float m = b1 * entry.first[at] + r1 * g;
    float v = b2 * entry.second[at] + r2 * g * g;
    entry.first[at] = m, entry.second[at] = v;
    entry.parameter[at] = p - size * m / (sqrtf(v) / root + eps);
  }
}

// Increments the step counters, between check and update. A skipped step is not counted.
extern "C" __global__ void optimizer_steps(const __grid_constant__ Table table) {
  for (int at = threadIdx.x; at < table.count; at += blockDim.x)
    *table.entries[at].step += 1.f - *table.found[table.entries[at].group];
}

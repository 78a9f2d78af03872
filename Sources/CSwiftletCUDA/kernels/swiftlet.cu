// swiftlet.cu: all kernels as one program, but for those of quantised weights (quantized.cu). The others are its headers by
// name; see shapes.cuh for the options.
#include "steps.cu"
#include "norm.cu"
#include "linear.cu"
#include "rope.cu"
#include "attention_decode.cu"
#include "attention_prefill.cu"
#include "sample.cu"
#include "experts.cu"

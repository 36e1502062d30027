// Included ahead of every source of the tfjs-node addon when setup-tensorflow.mjs compiles it. The addon itself has no way to choose the device of an
// operation; here the string attribute "_device", which others ignore, becomes one. What changes results from run to run, or rounds f32 products to
// TF32, is switched off.
#pragma once
#include <cstdlib>
#include <cstring>
#include <string>
#include "absl/log/globals.h"
#include "tensorflow/c/eager/c_api.h"

namespace tsl {
void enable_tensor_float_32_execution(bool enabled);
void EnableOpDeterminism(bool enabled);
}  // namespace tsl

namespace tributary {

inline void SetAttributeOrDevice(TFE_Op *op, const char *name, const void *value, size_t length) {
  if (std::strcmp(name, "_device") != 0) return TFE_OpSetAttrString(op, name, value, length);
  TF_Status *status = TF_NewStatus();
  // A name that cannot be parsed is left as it is: the engine names only devices that can.
  TFE_OpSetDevice(op, std::string(static_cast<const char *>(value), length).c_str(), status);
  TF_DeleteStatus(status);
}

inline const bool prepared = [] {
  // Failures reach the caller as errors; warnings of the library are for whoever asks for them with TF_CPP_MIN_LOG_LEVEL=0.
  if (std::getenv("TF_CPP_MIN_LOG_LEVEL") == nullptr) absl::SetMinLogLevel(absl::LogSeverityAtLeast::kFatal);
  // Other processes, the trainer's for one, want some of the GPU's memory too.
  setenv("TF_FORCE_GPU_ALLOW_GROWTH", "true", 0);
  tsl::enable_tensor_float_32_execution(false);
  tsl::EnableOpDeterminism(true);
  return true;
}();

}  // namespace tributary

#define TFE_OpSetAttrString tributary::SetAttributeOrDevice

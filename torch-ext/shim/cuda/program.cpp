// Compiles the kernels with the NVRTC that torch brings for its own kernels.
#include "program.h"
#include <dlfcn.h>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace {
struct Nvrtc {
  int (*create)(void **, const char *, const char *, int, const char *const *, const char *const *);
  int (*compile)(void *, int, const char *const *);
  int (*log_size)(void *, size_t *);
  int (*log)(void *, char *);
  int (*cubin_size)(void *, size_t *);
  int (*cubin)(void *, char *);
  int (*destroy)(void **);
};

Nvrtc open_nvrtc() {
  // torch's stub library, beside libtorch_cuda, is linked to the NVRTC that torch was built for and finds it.
  Dl_info here{};
  TORCH_CHECK(dladdr(reinterpret_cast<void *>(&c10::cuda::getCurrentCUDAStream), &here),
              "cannot find the path of libc10_cuda");
  std::string path = here.dli_fname;
  path = path.substr(0, path.rfind('/') + 1) + "libcaffe2_nvrtc.so";
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) library = dlopen("libnvrtc.so.13", RTLD_NOW | RTLD_LOCAL);
  TORCH_CHECK(library, "cannot open NVRTC: ", dlerror());
  auto find = [&](const char *name) {
    void *symbol = dlsym(library, name);
    TORCH_CHECK(symbol, "NVRTC has no ", name);
    return symbol;
  };
  Nvrtc found{};
  found.create = reinterpret_cast<decltype(found.create)>(find("nvrtcCreateProgram"));
  found.compile = reinterpret_cast<decltype(found.compile)>(find("nvrtcCompileProgram"));
  found.log_size = reinterpret_cast<decltype(found.log_size)>(find("nvrtcGetProgramLogSize"));
  found.log = reinterpret_cast<decltype(found.log)>(find("nvrtcGetProgramLog"));
  found.cubin_size = reinterpret_cast<decltype(found.cubin_size)>(find("nvrtcGetCUBINSize"));
  found.cubin = reinterpret_cast<decltype(found.cubin)>(find("nvrtcGetCUBIN"));
  found.destroy = reinterpret_cast<decltype(found.destroy)>(find("nvrtcDestroyProgram"));
  return found;
}

std::vector<char> compile(const Nvrtc &nvrtc, const std::string &source, int device, bool bf16) {
  int major = 0, minor = 0;
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
  std::string target = "--gpu-architecture=sm_" + std::to_string(major) + std::to_string(minor);
  std::vector<const char *> options{target.c_str(), "--std=c++17"};
  if (bf16) options.push_back("-DIO_BF16");
  void *program = nullptr;
  TORCH_CHECK(nvrtc.create(&program, source.c_str(), "kernels.cu", 0, nullptr, nullptr) == 0,
              "NVRTC cannot create a program");
  int failed = nvrtc.compile(program, int(options.size()), options.data());
  size_t size = 0;
  std::vector<char> image;
  if (failed) {
    nvrtc.log_size(program, &size);
    std::string log(size, '\0');
    nvrtc.log(program, log.data());
    nvrtc.destroy(&program);
    TORCH_CHECK(false, "the fused kernels do not compile for ", target, ": ", log);
  }
  nvrtc.cubin_size(program, &size);
  image.resize(size);
  nvrtc.cubin(program, image.data());
  nvrtc.destroy(&program);
  return image;
}

// The kernels for one device and one dtype of features, compiled when they are first needed.
struct Program {
  std::vector<char> image;
  cudaLibrary_t library = nullptr;
  // Why the kernels cannot be used; empty if they can.
  std::string problem;
  std::mutex mutex;
  std::map<std::string, cudaKernel_t> kernels;

  const void *kernel(const char *name) {
    std::lock_guard<std::mutex> lock(mutex);
    auto &found = kernels[name];
    if (!found) C10_CUDA_CHECK(cudaLibraryGetKernel(&found, library, name));
    return reinterpret_cast<const void *>(found);
  }
};

std::string &source() {
  static std::string text;
  return text;
}

Program &program(int device, bool bf16) {
  static std::mutex mutex;
  static std::map<std::pair<int, bool>, std::unique_ptr<Program>> all;
  std::lock_guard<std::mutex> lock(mutex);
  auto &found = all[{device, bf16}];
  if (!found) {
    // Stored before compiling, so that a failure is not retried.
    found = std::make_unique<Program>();
    try {
      static Nvrtc nvrtc = open_nvrtc();
      found->image = compile(nvrtc, source(), device, bf16);
      C10_CUDA_CHECK(
          cudaLibraryLoadData(&found->library, found->image.data(), nullptr, nullptr, 0, nullptr, nullptr, 0));
    } catch (const std::exception &e) {
      (void)cudaGetLastError();
      found->problem = e.what();
    }
  }
  return *found;
}
} // namespace

const void *kte::kernel(int device, bool bf16, const char *name) { return program(device, bf16).kernel(name); }

bool kte::has_kernels(int device, bool bf16) { return program(device, bf16).problem.empty(); }

extern "C" {
// Compiles the kernels for a device, and fails with the reason if that is not possible.
int kte_fused_prepare(int device, bool bf16) {
  KTE_GUARD({
    auto &made = program(device, bf16);
    TORCH_CHECK(made.problem.empty(), made.problem);
  })
}

// Sets the source of the kernels. Must be called before their first use.
void kte_fused_source(const char *text) { source() = text; }
}

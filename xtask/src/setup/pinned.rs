//! The pinned wheels. All versions change together with that of `torch`: its metadata names the versions of
//! the others.

use super::wheels::{Part, TORCH_VERSION, Take, Wheel};

const fn cuda(from: &'static str, names: &'static [&'static str]) -> Take {
    Take { part: Part::Cuda, from, names, into: "cuda" }
}

/// Licence texts, which must accompany the files of a wheel when they are distributed.
const fn licence(part: Part, from: &'static str, into: &'static str) -> Take {
    Take { part, from, names: &[], into }
}

/// Headers of CUDA. They are in the CPU part because GPU code is compiled on every machine, even without a
/// GPU.
const fn headers(from: &'static str, into: &'static str) -> Take {
    Take { part: Part::Cpu, from, names: &[], into }
}

/// All wheels. The largest comes first, so that a lack of disk space or network shows early.
pub(super) const WHEELS: [Wheel; 17] = [
    Wheel {
        project: "torch",
        version: TORCH_VERSION,
        file: "torch-2.11.0-cp312-cp312-manylinux_2_28_x86_64.whl",
        bytes: 530_712_279,
        sha256: "0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756",
        platform: "manylinux_2_28_x86_64",
        abi: Some("cp312"),
        takes: &[
            Take { part: Part::Cpu, from: "torch/include", names: &[], into: "include" },
            Take {
                part: Part::Cpu,
                from: "torch/lib",
                names: &["libc10.so", "libtorch_cpu.so", "libgomp.so.1"],
                into: "lib",
            },
            cuda(
                "torch/lib",
                &[
                    "libc10_cuda.so",
                    "libcaffe2_nvrtc.so",
                    "libtorch_cuda.so",
                    "libtorch_cuda_linalg.so",
                    "libtorch_nvshmem.so",
                ],
            ),
            licence(Part::Cpu, "torch-2.11.0.dist-info/licenses", "licences/torch"),
        ],
    },
    Wheel {
        project: "nvidia-cuda-runtime",
        version: "13.0.96",
        file: "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        bytes: 2_243_632,
        sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
        platform: "manylinux_2_17_x86_64",
        abi: None,
        takes: &[
            Take { part: Part::Cpu, from: "nvidia/cu13/lib", names: &["libcudart.so.13"], into: "lib" },
            headers("nvidia/cu13/include", "include/cuda"),
            licence(
                Part::Cpu,
                "nvidia_cuda_runtime-13.0.96.dist-info/licenses",
                "licences/nvidia-cuda-runtime",
            ),
        ],
    },
    Wheel {
        project: "nvidia-cuda-crt",
        version: "13.0.88",
        file: "nvidia_cuda_crt-13.0.88-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        bytes: 134_086,
        sha256: "2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4",
        platform: "manylinux_2_17_x86_64",
        abi: None,
        takes: &[
            headers("nvidia/cu13/include/crt", "include/cuda/crt"),
            licence(Part::Cpu, "nvidia_cuda_crt-13.0.88.dist-info/licenses", "licences/nvidia-cuda-crt"),
        ],
    },
    Wheel {
        project: "nvidia-cuda-cupti",
        version: "13.0.85",
        file: "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
        bytes: 10_715_597,
        sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
        platform: "manylinux_2_25_x86_64",
        abi: None,
        takes: &[
            Take { part: Part::Cpu, from: "nvidia/cu13/lib", names: &["libcupti.so.13"], into: "lib" },
            licence(Part::Cpu, "nvidia_cuda_cupti-13.0.85.dist-info/licenses", "licences/nvidia-cuda-cupti"),
        ],
    },
    Wheel {
        project: "nvidia-cublas",
        version: "13.1.0.3",
        file: "nvidia_cublas-13.1.0.3-py3-none-manylinux_2_27_x86_64.whl",
        bytes: 423_133_236,
        sha256: "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171",
        platform: "manylinux_2_27_x86_64",
        abi: None,
        takes: &[
            cuda("nvidia/cu13/lib", &["libcublas.so.13", "libcublasLt.so.13"]),
            licence(Part::Cuda, "nvidia_cublas-13.1.0.3.dist-info/licenses", "cuda/licences/nvidia-cublas"),
        ],
    },
    Wheel {
        project: "nvidia-cudnn-cu13",
        version: "9.19.0.56",
        file: "nvidia_cudnn_cu13-9.19.0.56-py3-none-manylinux_2_27_x86_64.whl",
        bytes: 366_066_321,
        sha256: "d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf",
        platform: "manylinux_2_27_x86_64",
        abi: None,
        takes: &[
            cuda(
                "nvidia/cudnn/lib",
                &[
                    "libcudnn.so.9",
                    "libcudnn_adv.so.9",
                    "libcudnn_cnn.so.9",
                    "libcudnn_engines_precompiled.so.9",
                    "libcudnn_engines_runtime_compiled.so.9",
                    "libcudnn_graph.so.9",
                    "libcudnn_heuristic.so.9",
                    "libcudnn_ops.so.9",
                ],
            ),
            licence(
                Part::Cuda,
                "nvidia_cudnn_cu13-9.19.0.56.dist-info/licenses",
                "cuda/licences/nvidia-cudnn-cu13",
            ),
        ],
    },
    Wheel {
        project: "nvidia-cufft",
        version: "12.0.0.61",
        file: "nvidia_cufft-12.0.0.61-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        bytes: 214_085_489,
        sha256: "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3",
        platform: "manylinux_2_17_x86_64",
        abi: None,
        takes: &[
            cuda("nvidia/cu13/lib", &["libcufft.so.12"]),
            licence(Part::Cuda, "nvidia_cufft-12.0.0.61.dist-info/licenses", "cuda/licences/nvidia-cufft"),
        ],
    },
    Wheel {
        project: "nvidia-cusolver",
        version: "12.0.4.66",
        file: "nvidia_cusolver-12.0.4.66-py3-none-manylinux_2_27_x86_64.whl",
        bytes: 200_941_980,
        sha256: "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112",
        platform: "manylinux_2_27_x86_64",
        abi: None,
        takes: &[
            cuda("nvidia/cu13/lib", &["libcusolver.so.12"]),
            licence(
                Part::Cuda,
                "nvidia_cusolver-12.0.4.66.dist-info/licenses",
                "cuda/licences/nvidia-cusolver",
            ),
        ],
    },
    Wheel {
        project: "nvidia-nccl-cu13",
        version: "2.28.9",
        file: "nvidia_nccl_cu13-2.28.9-py3-none-manylinux_2_18_x86_64.whl",
        bytes: 196_493_177,
        sha256: "e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42",
        platform: "manylinux_2_18_x86_64",
        abi: None,
        takes: &[
            cuda("nvidia/nccl/lib", &["libnccl.so.2"]),
            licence(
                Part::Cuda,
                "nvidia_nccl_cu13-2.28.9.dist-info/licenses",
                "cuda/licences/nvidia-nccl-cu13",
            ),
        ],
    },
    Wheel {
        project: "nvidia-cusparselt-cu13",
        version: "0.8.0",
        file: "nvidia_cusparselt_cu13-0.8.0-py3-none-manylinux2014_x86_64.whl",
        bytes: 169_884_119,
        sha256: "25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd",
        platform: "manylinux2014_x86_64",
        abi: None,
        takes: &[
            cuda("nvidia/cusparselt/lib", &["libcusparseLt.so.0"]),
            Take {
                part: Part::Cuda,
                from: "nvidia/cusparselt",
                names: &["LICENSE.txt"],
                into: "cuda/licences/nvidia-cusparselt-cu13",
            },
        ],
    },
    Wheel {
        project: "nvidia-cusparse",
        version: "12.6.3.3",
        file: "nvidia_cusparse-12.6.3.3-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        bytes: 145_942_937,
        sha256: "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b",
        platform: "manylinux_2_17_x86_64",
        abi: None,
        takes: &[
            cuda("nvidia/cu13/lib", &["libcusparse.so.12"]),
            licence(
                Part::Cuda,
                "nvidia_cusparse-12.6.3.3.dist-info/licenses",
                "cuda/licences/nvidia-cusparse",
            ),
        ],
    },
    Wheel {
        project: "nvidia-cuda-nvrtc",
        version: "13.0.88",
        file: "nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
        bytes: 90_215_200,
        sha256: "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575",
        platform: "manylinux_2_12_x86_64",
        abi: None,
        takes: &[
            cuda("nvidia/cu13/lib", &["libnvrtc.so.13", "libnvrtc-builtins.so.13.0"]),
            licence(
                Part::Cuda,
                "nvidia_cuda_nvrtc-13.0.88.dist-info/licenses",
                "cuda/licences/nvidia-cuda-nvrtc",
            ),
        ],
    },
    Wheel {
        project: "nvidia-nvshmem-cu13",
        version: "3.4.5",
        file: "nvidia_nvshmem_cu13-3.4.5-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        bytes: 60_412_546,
        sha256: "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80",
        platform: "manylinux_2_17_x86_64",
        abi: None,
        takes: &[
            cuda("nvidia/nvshmem/lib", &["libnvshmem_host.so.3"]),
            licence(
                Part::Cuda,
                "nvidia_nvshmem_cu13-3.4.5.dist-info/licenses",
                "cuda/licences/nvidia-nvshmem-cu13",
            ),
        ],
    },
    Wheel {
        project: "nvidia-curand",
        version: "10.4.0.35",
        file: "nvidia_curand-10.4.0.35-py3-none-manylinux_2_27_x86_64.whl",
        bytes: 59_544_258,
        sha256: "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc",
        platform: "manylinux_2_27_x86_64",
        abi: None,
        takes: &[
            cuda("nvidia/cu13/lib", &["libcurand.so.10"]),
            licence(Part::Cuda, "nvidia_curand-10.4.0.35.dist-info/licenses", "cuda/licences/nvidia-curand"),
        ],
    },
    Wheel {
        project: "nvidia-nvjitlink",
        version: "13.0.88",
        file: "nvidia_nvjitlink-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
        bytes: 40_713_933,
        sha256: "13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b",
        platform: "manylinux_2_12_x86_64",
        abi: None,
        takes: &[
            cuda("nvidia/cu13/lib", &["libnvJitLink.so.13"]),
            licence(
                Part::Cuda,
                "nvidia_nvjitlink-13.0.88.dist-info/licenses",
                "cuda/licences/nvidia-nvjitlink",
            ),
        ],
    },
    Wheel {
        project: "nvidia-cufile",
        version: "1.15.1.6",
        file: "nvidia_cufile-1.15.1.6-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        bytes: 1_223_672,
        sha256: "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44",
        platform: "manylinux_2_17_x86_64",
        abi: None,
        takes: &[
            cuda("nvidia/cu13/lib", &["libcufile.so.0"]),
            licence(Part::Cuda, "nvidia_cufile-1.15.1.6.dist-info/licenses", "cuda/licences/nvidia-cufile"),
        ],
    },
    Wheel {
        project: "nvidia-nvtx",
        version: "13.0.85",
        file: "nvidia_nvtx-13.0.85-py3-none-manylinux1_x86_64.manylinux_2_5_x86_64.whl",
        bytes: 148_047,
        sha256: "4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4",
        platform: "manylinux_2_5_x86_64",
        abi: None,
        takes: &[
            cuda("nvidia/cu13/lib", &["libnvtx3interop.so.1"]),
            licence(Part::Cuda, "nvidia_nvtx-13.0.85.dist-info/licenses", "cuda/licences/nvidia-nvtx"),
        ],
    },
];

#[cfg(test)]
mod spec {
    use super::{Part, Take, WHEELS};
    use std::collections::HashSet;

    #[test]
    fn every_pin_is_complete() {
        for wheel in &WHEELS {
            assert!(
                wheel.file.contains(wheel.version) && wheel.file.contains(wheel.platform),
                "{}",
                wheel.file
            );
            assert!(wheel.file.starts_with(&wheel.project.replace('-', "_")), "{}", wheel.file);
            assert_eq!(wheel.sha256.len(), 64, "{}", wheel.file);
            assert!(!wheel.takes.is_empty(), "{}", wheel.file);
        }
    }

    #[test]
    fn no_two_wheels_write_the_same_file() {
        let takes = WHEELS.iter().flat_map(|wheel| wheel.takes);
        let mut seen = HashSet::new();
        for (into, name) in takes.flat_map(|take| take.names.iter().map(|name| (take.into, name))) {
            assert!(seen.insert((into, name)), "{into}/{name}");
        }
    }

    #[test]
    fn gpu_libraries_stay_out_of_the_link_directory() {
        let takes = WHEELS.iter().flat_map(|wheel| wheel.takes(&[Part::Cuda]));
        let mut folders = takes.into_iter().map(|take| take.into);
        assert!(folders.all(|folder| folder == "cuda" || folder.starts_with("cuda/")));
    }

    #[test]
    fn every_wheel_brings_its_licence() {
        for wheel in &WHEELS {
            let into = |take: &Take| take.into.ends_with(&format!("licences/{}", wheel.project));
            let take = wheel.takes.iter().find(|take| into(take));
            let from = take.map(|take| take.from).unwrap_or_default();
            assert!(from.contains(wheel.version) || from.starts_with("nvidia/"), "{}: {from}", wheel.project);
        }
    }
}

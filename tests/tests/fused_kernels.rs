//! Kasmina's own GPU kernels: fused layers, and the optimizer step of all groups at once. Without a GPU, each
//! test prints that it is skipped and passes.

#![allow(clippy::many_single_char_names, reason = "n, c, h, w are the usual names")]

use kasmina_tests::bench::distance;
use kasmina_tests::gpu;
use kasmina_torch_ext::autograd::to_channels_last;
use kasmina_torch_ext::cuda::fused;
use kasmina_torch_ext::optim::{AdamW, Algorithm, Optimizer, Sgd};
use kasmina_torch_ext::ranks::{Collective, Group, Store, SyncBatchNorm};
use kasmina_torch_ext::rng::RngFork;
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink, Role};
use std::time::Duration;
use tch::{Device, Kind, Tensor};

/// Random channels-last features on the GPU, `shape` being `[batch, channels, height, width]`.
fn features(shape: &[i64], kind: Kind, device: Device) -> Tensor {
    to_channels_last(&Tensor::randn(shape, (Kind::Float, device)).to_kind(kind)).unwrap()
}

/// Copies of tensors in `kind`, as leaves that require a gradient.
fn leaves(tensors: &[&Tensor], kind: Kind) -> Vec<Tensor> {
    tensors.iter().map(|t| t.detach().to_kind(kind).set_requires_grad(true)).collect()
}

/// Compares the output and the gradients of a fused layer with those of the composed layer in float64. `sure`
/// is true at elements of the output whose gradient does not depend on rounding, that is, not near a switch
/// of a ReLU or a pool; only these get a gradient.
fn compare(
    what: &str,
    inputs: &[&Tensor],
    fused: &dyn Fn(&[Tensor]) -> Tensor,
    composed: &dyn Fn(&[Tensor]) -> Tensor,
    sure: &dyn Fn(&[Tensor]) -> Tensor,
) {
    let kind = inputs[0].kind();
    let mine: Vec<Tensor> = inputs.iter().map(|t| t.detach().set_requires_grad(true)).collect();
    let exact = leaves(inputs, Kind::Double);
    let (out, want) = (fused(&mine), composed(&exact));
    assert_eq!((out.kind(), out.size()), (kind, want.size()), "{what}");
    let sure = tch::no_grad(|| sure(&exact)).to_kind(Kind::Double);
    assert!(sure.mean(Kind::Double).double_value(&[]) > 0.9, "{what}");
    let direction = (Tensor::randn_like(&want) * sure).to_kind(kind);
    (&out * &direction).sum(Kind::Float).backward();
    (&want * direction.to_kind(Kind::Double)).sum(Kind::Double).backward();
    let limit = if kind == Kind::BFloat16 { 1e-2 } else { 2e-6 };
    let mut worst = distance(&out, &want);
    for (i, (mine, exact)) in mine.iter().zip(&exact).enumerate() {
        let far = distance(&mine.grad(), &exact.grad());
        assert!(far < limit, "{what}: gradient {i} is {far} away");
        worst = worst.max(far);
    }
    assert!(worst < limit, "{what}: {worst}");
    // A second run returns the same bits.
    let again: Vec<Tensor> = inputs.iter().map(|t| t.detach().set_requires_grad(true)).collect();
    let out2 = fused(&again);
    (&out2 * &direction).sum(Kind::Float).backward();
    assert!(out2.equal(&out) && again.iter().zip(&mine).all(|(a, b)| a.grad().equal(&b.grad())), "{what}");
}

/// Compares the fused mean over positions and classifier with the composed ones in float64.
fn compare_mean_linear(x: &Tensor, what: &str) {
    let c = x.size()[1];
    let (weight, bias) =
        (Tensor::randn([10, c], (Kind::Float, x.device())), Tensor::randn([10], (Kind::Float, x.device())));
    let [x64, w64, b64] = [x, &weight, &bias].map(|t| t.to_kind(Kind::Double).set_requires_grad(true));
    let [x32, w32, b32] = [x, &weight, &bias].map(|t| t.detach().set_requires_grad(true));
    let out = fused::mean_linear(&x32, &w32, &b32).expect("the fused layer serves it").unwrap();
    let want = x64.mean_dim([2, 3].as_slice(), false, None).linear(&w64, Some(&b64));
    assert_eq!((out.kind(), out.size()), (Kind::Float, want.size()), "mean_linear {what}");
    let direction = Tensor::randn_like(&want);
    (&out * direction.to_kind(Kind::Float)).sum(Kind::Float).backward();
    (&want * direction).sum(Kind::Double).backward();
    assert!(distance(&out, &want) < 2e-6, "mean_linear {what}");
    for (mine, exact) in [(&x32, &x64), (&w32, &w64), (&b32, &b64)] {
        let limit = if mine.kind() == Kind::BFloat16 { 1e-2 } else { 2e-6 };
        let far = distance(&mine.grad(), &exact.grad());
        assert!(far < limit, "mean_linear {what}: {far}");
    }
}

/// Which layers follow a batch norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// None; only the batch norm of several ranks is then a fused layer.
    Nothing,
    Relu,
    ReluAndPool,
}

/// Compares the fused batch norm with the composed one in float64, with the statistics of `ranks` if there
/// are any.
fn compare_batch_norm(name: &str, x: &Tensor, after: After, ranks: Option<&Collective>) {
    let (c, device) = (x.size()[1], x.device());
    let (pool, present) = (after == After::ReluAndPool, Tensor::ones([], (Kind::Float, device)));
    let weight = Tensor::rand([c], (Kind::Float, device)) + 0.5;
    let bias = Tensor::randn([c], (Kind::Float, device));
    let statistics = |kind| (Tensor::zeros([c], (kind, device)), Tensor::ones([c], (kind, device)));
    let ((mean, var), (exact_mean, exact_var)) = (statistics(Kind::Float), statistics(Kind::Double));
    compare(
        name,
        &[x, &weight, &bias],
        &|t| {
            let (_, _) = (mean.shallow_clone().zero_(), var.shallow_clone().fill_(1.0));
            let _scope = ranks.map(|ranks| SyncBatchNorm::begin(ranks, &present).unwrap());
            if after == After::Nothing {
                return t[0].batch_norm(
                    Some(&t[1]),
                    Some(&t[2]),
                    Some(&mean),
                    Some(&var),
                    true,
                    0.1,
                    1e-5,
                    true,
                );
            }
            let norm = fused::BatchNorm {
                weight: &t[1],
                bias: &t[2],
                running_mean: &mean,
                running_var: &var,
                eps: 1e-5,
                momentum: 0.1,
            };
            fused::batch_norm_relu(&t[0], &norm, pool).expect("the fused layer serves it").unwrap()
        },
        &|t| {
            let (m, v) = (Some(&exact_mean), Some(&exact_var));
            let y = t[0].batch_norm(Some(&t[1]), Some(&t[2]), m, v, true, 0.1, 1e-5, true);
            match after {
                After::Nothing => y,
                After::Relu => y.relu(),
                After::ReluAndPool => y.relu().max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false),
            }
        },
        &|t| {
            let none = None::<&Tensor>;
            let y = t[0].batch_norm(Some(&t[1]), Some(&t[2]), none, none, true, 0.1, 1e-5, true);
            match after {
                After::Nothing => y.ones_like(),
                After::Relu => y.abs().gt(1e-4),
                After::ReluAndPool => {
                    let (n, c, h, w) = y.size4().unwrap();
                    let windows = y.reshape([n, c, h / 2, 2, w / 2, 2]).permute([0, 1, 2, 4, 3, 5]);
                    let (best, _) = windows.reshape([n, c, h / 2, w / 2, 4]).topk(2, -1, true, true);
                    let (first, second) = (best.select(-1, 0), best.select(-1, 1));
                    first.abs().gt(1e-4).logical_and(&(first - second).gt(1e-4))
                }
            }
        },
    );
    let limit = if x.kind() == Kind::Float { 1e-5 } else { 1e-2 };
    assert!(distance(&mean, &exact_mean) < limit && distance(&var, &exact_var) < limit, "{name}");
}

#[test]
fn fused_layers_agree_with_composed_layers() {
    let Some(device) = gpu("fused_layers_agree_with_composed_layers") else { return };
    let _fork = RngFork::seeded(11).unwrap();
    let shapes =
        [[128, 32, 32, 32], [3, 64, 8, 8], [5, 48, 6, 10], [2, 8, 2, 2], [1, 1024, 4, 4], [7, 20, 4, 6]];
    for kind in [Kind::Float, Kind::BFloat16] {
        for shape in shapes {
            let what = format!("{shape:?} {kind:?}");
            let c = shape[1];
            let x = features(&shape, kind, device) * 2.0 + 3.0;
            let branch = features(&shape, kind, device);
            let weight = Tensor::rand([c], (Kind::Float, device)) + 0.5;
            let bias = Tensor::randn([c], (Kind::Float, device));
            for after in [After::ReluAndPool, After::Relu] {
                compare_batch_norm(&format!("batch_norm {what} {after:?}"), &x, after, None);
            }
            let gain = Tensor::randn([1, c, 1, 1], (Kind::Float, device));
            for groups in [1, c / 4] {
                compare(
                    &format!("norm_residual {what} groups {groups}"),
                    &[&x, &branch, &weight, &bias, &gain],
                    &|t| {
                        let norm = fused::GroupNorm { groups, weight: &t[2], bias: &t[3], eps: 1e-5 };
                        fused::norm_residual(&t[0], &t[1], &norm, &t[4])
                            .expect("the fused layer serves it")
                            .unwrap()
                    },
                    &|t| {
                        let y = t[1].group_norm(groups, Some(&t[2]), Some(&t[3]), 1e-5, false).relu();
                        t[0].addcmul(&y, &t[4])
                    },
                    &|t| t[1].group_norm(groups, Some(&t[2]), Some(&t[3]), 1e-5, false).abs().gt(1e-4),
                );
            }
            compare_mean_linear(&x, &what);
            for alpha in [0.0, 0.3, 0.8, 1.0] {
                let one = Tensor::full([], alpha, (Kind::Float, device));
                compare(
                    &format!("lerp {what} alpha {alpha}"),
                    &[&x, &branch],
                    &|t| fused::lerp(&t[0], &t[1], &one).expect("the fused layer serves it").unwrap(),
                    &|t| t[0].lerp_tensor(&t[1], &one.to_kind(Kind::Double)),
                    &|t| t[0].ones_like(),
                );
            }
        }
    }
}

/// The kernels of several ranks, here with one: sums over one rank are its own.
#[test]
fn batch_norms_of_ranks_agree_with_composed_layers() {
    let Some(device) = gpu("batch_norms_of_ranks_agree_with_composed_layers") else { return };
    let _fork = RngFork::seeded(12).unwrap();
    let limit = Duration::from_mins(1);
    let store = Store::connect("127.0.0.1", 0, true, "fused", limit).unwrap();
    let group = Group { rank: 0, size: 1, device, host: None, timeout: limit, ordered: false };
    let ranks = Collective::connect(&store, &group).unwrap();
    for kind in [Kind::Float, Kind::BFloat16] {
        for shape in [[128, 32, 32, 32], [5, 48, 6, 10], [2, 8, 2, 2], [7, 20, 4, 6]] {
            let x = features(&shape, kind, device) * 2.0 + 3.0;
            for after in [After::Nothing, After::Relu, After::ReluAndPool] {
                compare_batch_norm(&format!("{shape:?} {kind:?} {after:?}"), &x, after, Some(&ranks));
            }
        }
    }
}

#[test]
fn fused_layers_decline_what_they_do_not_serve() {
    let Some(device) = gpu("fused_layers_decline_what_they_do_not_serve") else { return };
    let one = Tensor::full([], 0.5, (Kind::Float, device));
    let x = features(&[2, 8, 4, 4], Kind::Float, device);
    assert!(fused::lerp(&x, &x.contiguous(), &one).is_none(), "two layouts");
    assert!(fused::lerp(&x, &x.to_kind(Kind::BFloat16), &one).is_none(), "two dtypes");
    assert!(fused::lerp(&x.to(Device::Cpu), &x.to(Device::Cpu), &one).is_none(), "on the CPU");
    assert!(fused::lerp(&x, &x, &one.set_requires_grad(true)).is_none(), "an alpha that learns");
    let nan = features(&[2, 8, 4, 4], Kind::Float, device) * f64::NAN;
    let one = Tensor::full([], 0.5, (Kind::Float, device));
    assert_eq!(fused::lerp(&x, &nan, &one).unwrap().unwrap().isnan().all().int64_value(&[]), 1);
}

/// Compares the GPU, which steps all groups at once, with the CPU, which steps each by itself: groups of very
/// different sizes, more tensors than one launch takes, a parameter without a gradient, and a skipped group.
#[test]
fn groups_stepped_together_agree_with_groups_stepped_alone() {
    let Some(device) = gpu("groups_stepped_together_agree_with_groups_stepped_alone") else { return };
    let algorithms: [Algorithm; 4] = [
        Sgd::default().into(),
        Sgd { momentum: 0.0, weight_decay: 0.1, nesterov: false }.into(),
        Sgd { momentum: 0.8, weight_decay: 0.01, nesterov: true }.into(),
        AdamW::default().into(),
    ];
    for algorithm in algorithms {
        let run = |device: Device| {
            let mut optimizer =
                Optimizer::new(algorithm, 0.01).with_scale(Role::Seed, 0.5).with_warm_up(Role::Seed, 3);
            let mut groups = Vec::new();
            for group in 0..20_i64 {
                let sizes: Vec<i64> = (0..=group % 4).map(|i| 1 + i * 2047 + group * 311).collect();
                let start =
                    |n: i64| (Tensor::arange(n, (Kind::Float, Device::Cpu)) * 0.37 + group as f64).sin();
                let all: Vec<Tensor> =
                    sizes.iter().map(|n| start(*n).to(device).set_requires_grad(true)).collect();
                let named = all.iter().enumerate();
                let parameters = named
                    .map(|(i, t)| NamedParameter { name: i.to_string(), tensor: t.shallow_clone() })
                    .collect();
                let role = if group % 2 == 0 { Role::Host } else { Role::Seed };
                let change = Change::Add { owner: format!("g{group}"), role, parameters };
                let ticket = optimizer.prepare(change).unwrap();
                optimizer.commit(ticket);
                groups.push(all);
            }
            for step in 0..6 {
                for (number, group) in groups.iter().enumerate() {
                    let scale = if step == 2 && number == 7 { f64::NAN } else { 1.0 };
                    for (i, p) in group.iter().enumerate().filter(|(i, _)| *i != 1 || step % 2 == 0) {
                        ((p * (1.0 + i as f64)).cos() * scale).sum(Kind::Float).backward();
                    }
                }
                optimizer.step().unwrap();
                assert!(groups.iter().flatten().all(|p| !p.grad().defined()));
            }
            let skipped = optimizer.skipped_steps().unwrap();
            assert_eq!(skipped.values().sum::<u64>(), 1);
            assert_eq!(skipped["g7"], 1);
            groups.into_iter().flatten().map(|p| p.detach().to(Device::Cpu)).collect::<Vec<_>>()
        };
        for (i, (here, there)) in run(Device::Cpu).iter().zip(run(device)).enumerate() {
            let far = distance(&there, here);
            assert!(far < 1e-5, "{algorithm:?}, tensor {i}: {far}");
        }
    }
}

//! Straight-through estimator, version counters, gradient norms and memory formats.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests read numbers")]

use kasmina_torch_ext::autograd::{is_channels_last, straight_through, to_channels_last, version};
use kasmina_torch_ext::norm::{clear_gradients, grad_norm};
use kasmina_torch_ext::ops::OpCounter;
use tch::{Device, Kind, Tensor};

fn randn(shape: &[i64], kind: Kind) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(kind)
}

#[test]
fn the_value_is_the_host_s_and_the_gradient_flows_to_both() {
    for kind in [Kind::Float, Kind::Double, Kind::BFloat16, Kind::Half] {
        let host = randn(&[2, 3, 4, 4], kind).set_requires_grad(true);
        let seed = randn(&[2, 3, 4, 4], kind).set_requires_grad(true);
        let out = straight_through(&host, &seed).unwrap();
        assert!(out.equal(&host));
        let direction = randn(&[2, 3, 4, 4], kind);
        (&out * &direction).sum(Kind::Float).backward();
        assert!(host.grad().equal(&direction) && seed.grad().equal(&direction), "{kind:?}");
    }
}

/// For h = [1, 2], s = 3 h and L = sum(o^2).
#[test]
fn gradients_equal_those_computed_by_hand() {
    let host = Tensor::from_slice(&[1.0_f64, 2.0]).set_requires_grad(true);
    let weight = Tensor::from_slice(&[3.0_f64]).set_requires_grad(true);
    let out = straight_through(&host, &(host.detach() * &weight)).unwrap();
    out.square().sum(Kind::Double).backward();
    assert_eq!(Vec::<f64>::try_from(host.grad()).unwrap(), [2.0, 4.0]);
    assert_eq!(weight.grad().double_value(&[]), 10.0);
}

#[test]
fn a_seed_with_nan_does_not_change_the_value() {
    let host = Tensor::from_slice(&[-0.0_f32, 1.0, f32::MIN_POSITIVE]);
    for bad in [f64::NAN, f64::INFINITY] {
        let seed = Tensor::full([3], bad, (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let out = straight_through(&host, &seed).unwrap();
        let bits =
            |t: &Tensor| Vec::<f32>::try_from(t).unwrap().into_iter().map(f32::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(&out.detach()), bits(&host), "minus zero included");
    }
}

#[test]
fn forward_copies_no_element() {
    let (host, seed) = (randn(&[8, 8], Kind::Float), randn(&[8, 8], Kind::Float).set_requires_grad(true));
    let counter = OpCounter::start().unwrap();
    let out = straight_through(&host, &seed).unwrap();
    let ops = counter.finish().unwrap();
    assert_eq!(out.data_ptr(), host.data_ptr());
    for (name, _) in ops {
        assert!(
            ["aten::view", "aten::view_as", "StraightThrough"].iter().any(|ok| name.contains(ok)),
            "{name}"
        );
    }
}

#[test]
fn different_shapes_or_dtypes_are_refused() {
    let host = randn(&[2, 3], Kind::Float);
    let shape = straight_through(&host, &randn(&[3, 2], Kind::Float)).unwrap_err().to_string();
    assert!(shape.contains("host features are [2, 3], the seed made [3, 2]"), "{shape}");
    let dtype = straight_through(&host, &randn(&[2, 3], Kind::Double)).unwrap_err().to_string();
    assert!(dtype.contains("Float") && dtype.contains("Double"), "{dtype}");
}

#[test]
fn a_detached_alias_shares_its_version() {
    let x = randn(&[4], Kind::Float);
    let before = version(&x).unwrap();
    let _ = x.detach().f_add_scalar_(1.0).unwrap();
    assert_eq!(version(&x).unwrap(), before + 1);
}

#[test]
fn the_joint_norm_is_the_norm_of_all_gradients() {
    let a = Tensor::zeros([2], (Kind::Double, Device::Cpu)).set_requires_grad(true);
    let b = Tensor::zeros([2, 2], (Kind::Double, Device::Cpu)).set_requires_grad(true);
    let silent = Tensor::zeros([5], (Kind::Double, Device::Cpu)).set_requires_grad(true);
    assert!(grad_norm([&a, &b]).unwrap().is_none());
    (&a * Tensor::from_slice(&[3.0_f64, 0.0])).sum(Kind::Double).backward();
    (&b * Tensor::from_slice(&[0.0_f64, 4.0, 12.0, 0.0]).view([2, 2])).sum(Kind::Double).backward();
    let joint = grad_norm([&a, &b, &silent]).unwrap();
    assert!((joint.unwrap().double_value(&[]) - 13.0).abs() < 1e-12);
    (&silent * f64::NAN).sum(Kind::Double).backward();
    assert!(grad_norm([&a, &silent]).unwrap().unwrap().double_value(&[]).is_nan());
    clear_gradients([&a, &b, &silent]).unwrap();
    assert!(grad_norm([&a, &b, &silent]).unwrap().is_none());
}

#[test]
fn channels_last_is_detected_and_converted_to() {
    let x = randn(&[2, 3, 4, 5], Kind::Float);
    assert!(!is_channels_last(&x).unwrap());
    let y = to_channels_last(&x).unwrap();
    assert!(is_channels_last(&y).unwrap() && y.equal(&x));
    assert_eq!(to_channels_last(&y).unwrap().data_ptr(), y.data_ptr(), "nothing is copied twice");
    assert!(to_channels_last(&randn(&[2, 3], Kind::Float)).is_err());
}

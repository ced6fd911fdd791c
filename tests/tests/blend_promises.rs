//! The shipped blends: their mixtures and gradients, and that none looks ahead in a sequence.

use kasmina::BlendCatalog;
use kasmina_plugin_api::abi::BlendInstance;
use kasmina_plugin_api::{Cx, Mode, Site, Topology};
use kasmina_registry::Registry;
use kasmina_torch_ext::rng::RngFork;
use std::fmt::Write as _;
use tch::{Device, Kind as Dtype, Tensor};

const CX: Cx<'static> = Cx::new(Mode::Train, 0, "late");

fn build_blend(registry: &Registry, id: &str, site: &Site, config: &str) -> BlendInstance {
    let _fork = RngFork::seeded(3).unwrap();
    let config =
        if config.is_empty() { serde_json::Value::Null } else { serde_json::from_str(config).unwrap() };
    BlendCatalog::new(registry).create(id, site, &config).unwrap()
}

fn features(seed: u64, shape: &[i64]) -> Tensor {
    let _fork = RngFork::seeded(seed).unwrap();
    Tensor::randn(shape, (Dtype::Float, Device::Cpu))
}

/// Mixes as the core does: calls the gate on the seed's input `x` first, and scales alpha by its result.
fn mix(blend: &mut BlendInstance, h: &Tensor, s: &Tensor, x: &Tensor, alpha: f64) -> Tensor {
    let alpha = Tensor::from(alpha as f32);
    let alpha = blend.gate(x, &CX).unwrap().map_or(alpha.shallow_clone(), |gate| gate * &alpha);
    blend.mix(h, s, &alpha, &CX).unwrap()
}

/// Every shipped blend, and the gated one with each of its other operators.
fn shipped_blends(registry: &Registry) -> Vec<(String, &'static str)> {
    let shipped = BlendCatalog::new(registry).algorithms();
    let shipped = shipped.iter().filter(|e| e.plugin().name == "kasmina_blends");
    let mut all: Vec<(String, &str)> = shipped.map(|e| (e.id().to_owned(), "")).collect();
    all.push(("gated".to_owned(), r#"{"operator": "residual"}"#));
    all.push(("gated".to_owned(), r#"{"operator": "multiply"}"#));
    all
}

#[test]
fn each_blend_has_the_expected_mixture_and_gradients() {
    let registry = kasmina_tests::registry(&[]);
    let site = Site::new(Topology::CNN, 2);
    let mut table =
        String::from("blend, h = 2, s = 3, alpha 0.25: mixture | to host, input isolated | not | to seed\n");
    for (id, config) in shipped_blends(&registry) {
        let scalar =
            |v: f64| Tensor::full([1, 2, 1, 1], v, (Dtype::Float, Device::Cpu)).set_requires_grad(true);
        let mut row = format!("{id} {config}:");
        for isolated in [true, false] {
            let mut blend = build_blend(&registry, &id, &site, config);
            let (h, s) = (scalar(2.0), scalar(3.0));
            let x = if isolated { h.detach() } else { h.shallow_clone() };
            let out = mix(&mut blend, &h, &s, &x, 0.25);
            out.sum(Dtype::Float).backward();
            let of = |t: &Tensor| t.f_double_value(&[0, 0, 0, 0]).unwrap();
            if isolated {
                let _ = write!(row, " {:.4} |", of(&out));
            }
            let _ = write!(row, " {:.4} |", of(&h.grad()));
            if !isolated {
                let _ = write!(row, " {:.4}", of(&s.grad()));
            }
        }
        let _ = writeln!(table, "{row}");
    }
    insta::assert_snapshot!(table);
}

#[test]
fn each_blend_returns_the_host_at_alpha_0_and_each_ramp_reaches_its_target() {
    let registry = kasmina_tests::registry(&[]);
    for topology in [Topology::CNN, Topology::TRANSFORMER] {
        let shape: &[i64] = if topology == Topology::CNN { &[3, 8, 4, 4] } else { &[3, 5, 8] };
        let site = Site::new(topology, 8);
        for (id, config) in shipped_blends(&registry) {
            let mut blend = build_blend(&registry, &id, &site, config);
            let (h, s) = (features(1, shape), features(2, shape));
            let none = mix(&mut blend, &h, &s, &h, 0.0);
            assert!(none.equal(&h), "{id} {config} on {topology}");
            let curve = |t: f64| blend.curve(t).unwrap();
            let (first, last) = (curve(0.0), curve(1.0));
            let at = |t: f64| (curve(t) - first) / (last - first);
            assert!((at(0.5) - 0.5).abs() < 1e-12 && at(1.0) == 1.0, "{id} {config}");
        }
    }
    // A fresh gate is nearly open for every sample, so that the mixture comes close to alpha.
    let mut gated = build_blend(&registry, "gated", &Site::new(Topology::CNN, 8), "");
    let gate = gated.gate(&features(4, &[5, 8, 4, 4]), &CX).unwrap().unwrap();
    assert_eq!(gate.size(), [5, 1, 1, 1]);
    assert!(gate.min().f_double_value(&[]).unwrap() > 0.95 && gate.max().f_double_value(&[]).unwrap() < 1.0);
}

/// Changing a later position changes no earlier one, also through the gate. The variables are perturbed
/// first, so that none has its initial value.
#[test]
fn no_blend_looks_ahead() {
    let registry = kasmina_tests::registry(&[]);
    let site = Site::new(Topology::TRANSFORMER, 8);
    for (id, config) in shipped_blends(&registry) {
        let mut blend = build_blend(&registry, &id, &site, config);
        for variable in blend.variables().unwrap() {
            let noise = features(5, &variable.tensor.size());
            let _ = tch::no_grad(|| variable.tensor.shallow_clone().f_add_(&noise).unwrap());
        }
        let (h, s) = (features(6, &[2, 9, 8]), features(7, &[2, 9, 8]));
        let before = mix(&mut blend, &h, &s, &h, 0.5);
        for position in 1..9 {
            let other = |t: &Tensor| {
                let other = t.copy();
                let _ = other.narrow(1, position, 9 - position).f_mul_scalar_(-3.0).unwrap();
                other
            };
            let (h, s) = (other(&h), other(&s));
            let after = mix(&mut blend, &h, &s, &h, 0.5);
            let same = |t: &Tensor| t.narrow(1, 0, position);
            assert!(same(&after).equal(&same(&before)), "{id} {config} at {position}");
            assert!(
                !after.narrow(1, position, 1).equal(&before.narrow(1, position, 1)),
                "{id} {config}: the change has no effect"
            );
        }
    }
}

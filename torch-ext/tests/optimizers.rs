//! The fused optimizers compared with a float64 reference, with gradients that are not finite, and with
//! changes of their groups.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step is a failed test")]
#![allow(clippy::many_single_char_names, reason = "the names of the formulas")]

use kasmina_torch_ext::optim::{AdamW, Algorithm, Optimizer, Sgd};
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink, Role, SinkError};
use tch::{Kind, Tensor};

fn parameter(values: &[f64]) -> Tensor {
    Tensor::from_slice(values).to_kind(Kind::Float).set_requires_grad(true)
}

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::<f64>::try_from(tensor.detach().to_kind(Kind::Double).reshape([-1])).unwrap()
}

fn add(optimizer: &mut Optimizer, owner: &str, parameters: &[&Tensor]) -> Result<(), SinkError> {
    let parameters = parameters
        .iter()
        .enumerate()
        .map(|(i, t)| NamedParameter { name: format!("{owner}.{i}"), tensor: t.shallow_clone() })
        .collect();
    let role = if owner == "host" { Role::Host } else { Role::Seed };
    let ticket = optimizer.prepare(Change::Add { owner: owner.into(), role, parameters })?;
    optimizer.commit(ticket);
    Ok(())
}

/// Returns a gradient that differs in every step and element.
fn gradient(step: usize, i: usize) -> f64 {
    ((step * 7 + i * 3) as f64).sin() * 0.5
}

fn backward(parameter: &Tensor, step: usize, offset: usize) {
    let n = parameter.numel();
    let g: Vec<f64> = (0..n).map(|i| gradient(step, i + offset)).collect();
    let g = Tensor::from_slice(&g).to_kind(Kind::Float).reshape(parameter.size());
    (parameter * g).sum(Kind::Float).backward();
}

/// Textbook AdamW and SGD with momentum in float64.
fn reference(algorithm: &Algorithm, mut x: Vec<f64>, offset: usize, steps: usize, rate: f64) -> Vec<f64> {
    let n = x.len();
    let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
    for step in 0..steps {
        for i in 0..n {
            let mut g = gradient(step, i + offset);
            match algorithm {
                Algorithm::Sgd(sgd) => {
                    g += sgd.weight_decay * x[i];
                    m[i] = sgd.momentum * m[i] + g;
                    x[i] -= rate * if sgd.nesterov { g + sgd.momentum * m[i] } else { m[i] };
                }
                Algorithm::AdamW(a) => {
                    let t = step as i32 + 1;
                    x[i] -= rate * a.weight_decay * x[i];
                    m[i] = a.beta1 * m[i] + (1.0 - a.beta1) * g;
                    v[i] = a.beta2 * v[i] + (1.0 - a.beta2) * g * g;
                    let (mh, vh) = (m[i] / (1.0 - a.beta1.powi(t)), v[i] / (1.0 - a.beta2.powi(t)));
                    x[i] -= rate * mh / (vh.sqrt() + a.eps);
                }
            }
        }
    }
    x
}

fn algorithms() -> Vec<Algorithm> {
    vec![
        Sgd { momentum: 0.0, ..Sgd::default() }.into(),
        Sgd::default().into(),
        Sgd { momentum: 0.9, weight_decay: 0.01, nesterov: true }.into(),
        AdamW::default().into(),
        AdamW { weight_decay: 0.0, ..AdamW::default() }.into(),
    ]
}

#[test]
fn every_algorithm_follows_its_float64_reference() {
    for algorithm in algorithms() {
        let (start_a, start_b) = (vec![0.3, -0.2, 0.9, 1.5], vec![-1.0, 2.0]);
        let (a, b) = (parameter(&start_a), parameter(&start_b));
        let mut optimizer = Optimizer::new(algorithm, 0.01);
        add(&mut optimizer, "host", &[&a, &b]).unwrap();
        for step in 0..25 {
            backward(&a, step, 0);
            backward(&b, step, 11);
            optimizer.step().unwrap();
            assert!(!a.grad().defined(), "a step drops the gradients");
        }
        for (tensor, start, offset) in [(&a, start_a, 0), (&b, start_b, 11)] {
            let want = reference(&algorithm, start, offset, 25, 0.01);
            for (got, want) in values(tensor).into_iter().zip(want) {
                assert!((got - want).abs() < 2e-6, "{algorithm:?}: {got} {want}");
            }
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_skips_only_its_group() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for algorithm in algorithms() {
            let (host, seed, twin) = (parameter(&[1.0, 2.0]), parameter(&[3.0, 4.0]), parameter(&[3.0, 4.0]));
            let mut optimizer = Optimizer::new(algorithm, 0.01);
            add(&mut optimizer, "host", &[&host]).unwrap();
            add(&mut optimizer, "seed", &[&seed]).unwrap();
            let mut clean = Optimizer::new(algorithm, 0.01);
            add(&mut clean, "seed", &[&twin]).unwrap();
            for step in 0..6 {
                backward(&host, step, 0);
                if step == 3 {
                    (&seed * bad).sum(Kind::Float).backward();
                } else {
                    backward(&seed, step, 5);
                    backward(&twin, step, 5);
                    clean.step().unwrap();
                }
                optimizer.step().unwrap();
            }
            assert!(seed.equal(&twin), "a skipped step leaves no trace: {algorithm:?} {bad}");
            let want = reference(&algorithm, vec![1.0, 2.0], 0, 6, 0.01);
            for (got, want) in values(&host).into_iter().zip(want) {
                assert!((got - want).abs() < 2e-6, "the host still steps: {got} {want}");
            }
            let skipped = optimizer.skipped_steps().unwrap();
            assert_eq!((skipped["host"], skipped["seed"]), (0, 1));
        }
    }
}

#[test]
fn parameters_without_a_gradient_are_not_stepped_and_keep_their_step_counter() {
    let (a, b, alone) = (parameter(&[1.0]), parameter(&[1.0]), parameter(&[1.0]));
    let mut both = Optimizer::new(AdamW::default(), 0.1);
    add(&mut both, "host", &[&a, &b]).unwrap();
    let mut one = Optimizer::new(AdamW::default(), 0.1);
    add(&mut one, "host", &[&alone]).unwrap();
    for step in 0..9 {
        backward(&a, step, 0);
        if step % 3 == 0 {
            backward(&b, step, 1);
            backward(&alone, step, 1);
            one.step().unwrap();
        }
        both.step().unwrap();
    }
    assert!(b.equal(&alone));
}

#[test]
fn groups_are_added_and_removed_in_two_phases() {
    let (host, seed) = (parameter(&[1.0, 1.0]), parameter(&[2.0]));
    let mut optimizer = Optimizer::new(AdamW::default(), 0.1);
    add(&mut optimizer, "host", &[&host]).unwrap();

    let named = |t: &Tensor| vec![NamedParameter { name: "p".into(), tensor: t.shallow_clone() }];
    let change = || Change::Add { owner: "seed".into(), role: Role::Seed, parameters: named(&seed) };
    let ticket = optimizer.prepare(change()).unwrap();
    assert!(
        matches!(optimizer.prepare(change()), Err(SinkError::DuplicateOwner(_))),
        "a prepared group counts as a duplicate"
    );
    assert_eq!(optimizer.owners().collect::<Vec<_>>(), ["host"], "a prepared group is not added yet");
    optimizer.abort(ticket);
    optimizer.commit(ticket);
    assert_eq!(optimizer.owners().collect::<Vec<_>>(), ["host"], "an aborted group is not added");

    add(&mut optimizer, "seed", &[&seed]).unwrap();
    assert!(matches!(add(&mut optimizer, "seed", &[]), Err(SinkError::DuplicateOwner(_))));
    assert!(matches!(
        add(&mut optimizer, "thief", &[&host]),
        Err(SinkError::SharedParameter { owner, other, .. }) if owner == "thief" && other == "host"
    ));
    let gone = optimizer.prepare(Change::Remove { owner: "seed".into() }).unwrap();
    optimizer.commit(gone);
    backward(&seed, 0, 0);
    backward(&host, 0, 0);
    optimizer.step().unwrap();
    assert_eq!(values(&seed), [2.0], "a removed group is not stepped");
    assert!(matches!(
        optimizer.prepare(Change::Remove { owner: "seed".into() }),
        Err(SinkError::UnknownOwner(_))
    ));
}

#[test]
fn a_group_s_rate_is_scaled_by_its_role() {
    let (host, seed) = (parameter(&[0.0]), parameter(&[0.0]));
    let sgd = Sgd { momentum: 0.0, ..Sgd::default() };
    let mut optimizer = Optimizer::new(sgd, 1.0).with_scale(Role::Seed, 0.25);
    add(&mut optimizer, "host", &[&host]).unwrap();
    add(&mut optimizer, "seed", &[&seed]).unwrap();
    optimizer.set_learning_rate(2.0).unwrap();
    for p in [&host, &seed] {
        p.sum(Kind::Float).backward();
    }
    optimizer.step().unwrap();
    assert_eq!((values(&host), values(&seed)), (vec![-2.0], vec![-0.5]));
}

#[test]
fn an_empty_group_can_be_stepped() {
    let mut optimizer = Optimizer::new(AdamW::default(), 0.1);
    add(&mut optimizer, "nothing", &[]).unwrap();
    optimizer.step().unwrap();
    optimizer.zero_grad().unwrap();
    assert_eq!(optimizer.skipped_steps().unwrap()["nothing"], 0);
}

/// An owner's rate rises over its own first steps, and each owner can have its own factor.
#[test]
fn every_owner_has_its_own_rate_and_warm_up() {
    let sgd = Sgd { momentum: 0.0, ..Sgd::default() };
    let mut optimizer = Optimizer::new(sgd, 1.0).with_scale(Role::Seed, 0.5).with_warm_up(Role::Seed, 4);
    let (host, seed) = (parameter(&[0.0]), parameter(&[0.0]));
    add(&mut optimizer, "host", &[&host]).unwrap();
    add(&mut optimizer, "slot.a.seed", &[&seed]).unwrap();
    let moved = |optimizer: &mut Optimizer| {
        let before = (values(&host)[0], values(&seed)[0]);
        (&host + &seed).sum(Kind::Float).backward();
        optimizer.step().unwrap();
        (before.0 - values(&host)[0], before.1 - values(&seed)[0])
    };
    let close = |got: (f64, f64), want: (f64, f64)| {
        assert!((got.0 - want.0).abs() < 1e-6 && (got.1 - want.1).abs() < 1e-6, "{got:?} {want:?}");
    };
    for share in [0.25, 0.5, 0.75, 1.0, 1.0] {
        close(moved(&mut optimizer), (1.0, 0.5 * share));
    }
    optimizer.set_learning_rate(0.1).unwrap();
    close(moved(&mut optimizer), (0.1, 0.05));
    optimizer.set_scale("slot.a.seed", 2.0).unwrap();
    close(moved(&mut optimizer), (0.1, 0.2));
    assert!(matches!(optimizer.set_scale("nobody", 1.0), Err(SinkError::UnknownOwner(_))));
}

/// Replaced parameters keep their optimizer state, so later steps are the same.
#[test]
fn a_replaced_owner_keeps_its_state_and_step_counters() {
    for algorithm in [Algorithm::from(AdamW::default()), Algorithm::from(Sgd::default())] {
        let run = |replace_at: Option<usize>| {
            let mut optimizer = Optimizer::new(algorithm, 0.1).with_warm_up(Role::Seed, 3);
            let mut x = parameter(&[1.0, -2.0]);
            add(&mut optimizer, "slot.a.seed", &[&x]).unwrap();
            for step in 0..6 {
                if replace_at == Some(step) {
                    x = tch::no_grad(|| x.copy()).detach().set_requires_grad(true);
                    let moved = |name: &str| Change::Replace {
                        owner: "slot.a.seed".into(),
                        parameters: vec![NamedParameter { name: name.into(), tensor: x.shallow_clone() }],
                    };
                    assert!(optimizer.prepare(moved("another name")).is_err());
                    let ticket = optimizer.prepare(moved("slot.a.seed.0")).unwrap();
                    optimizer.abort(ticket);
                    let ticket = optimizer.prepare(moved("slot.a.seed.0")).unwrap();
                    optimizer.commit(ticket);
                }
                backward(&x, step, 0);
                optimizer.step().unwrap();
            }
            let state = optimizer.state("slot.a.seed").unwrap();
            let state: Vec<_> = state.into_iter().map(|(name, t)| (name, values(&t))).collect();
            (values(&x), state)
        };
        assert_eq!(run(None), run(Some(2)));
        assert_eq!(run(None), run(Some(4)));
    }
}

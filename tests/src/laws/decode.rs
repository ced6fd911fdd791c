//! Decodes settings and operations from arbitrary bytes, for fuzzers.

use arbitrary::{Result, Unstructured};
use kasmina::lifecycle::{
    AlphaSettings, BlendPlan, Curve, Gate, Germination, GradientCapture, Isolation, Operation, Settings,
    Stage, TempoUnit,
};
use kasmina_plugin_api::Topology;

/// Decodes settings, a topology and operations. Every input decodes to something; what is missing is filled
/// with defaults.
pub fn operations(bytes: &[u8]) -> (Settings, Topology, Vec<Operation>) {
    let mut bytes = Unstructured::new(bytes);
    let settings = settings(&mut bytes).unwrap_or_default();
    let topology = if bytes.arbitrary().unwrap_or(false) { Topology::TRANSFORMER } else { Topology::CNN };
    let mut operations = Vec::new();
    while !bytes.is_empty() {
        let Ok(operation) = operation(&mut bytes) else { break };
        operations.push(operation);
    }
    (settings, topology, operations)
}

fn settings(bytes: &mut Unstructured<'_>) -> Result<Settings> {
    let mut settings = Settings {
        permissive: bytes.arbitrary()?,
        cooldown_epochs: bytes.int_in_range(0..=3)?,
        shadowing_epochs: bytes.int_in_range(0..=3)?,
        max_epochs: bytes.arbitrary::<bool>()?.then_some(bytes.int_in_range(1..=200)?),
        holding_timeout: bytes.arbitrary::<bool>()?.then_some(bytes.int_in_range(1..=8)?),
        isolation: *bytes.choose(&[Isolation::Always, Isolation::ReleaseAtHolding, Isolation::Never])?,
        ..Settings::default()
    };
    for gate in [Gate::G1, Gate::G2, Gate::G3, Gate::G4] {
        if bytes.ratio(1, 8)? {
            settings.auto_advance.remove(&gate);
        }
    }
    settings.gates.min_blending_epochs = bytes.int_in_range(0..=5)?;
    Ok(settings)
}

fn number(bytes: &mut Unstructured<'_>, usual: f64) -> Result<f64> {
    Ok(match bytes.int_in_range(0..=9)? {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => bytes.arbitrary()?,
        _ => usual * f64::from(bytes.arbitrary::<u16>()?) / f64::from(u16::MAX),
    })
}

fn curve(bytes: &mut Unstructured<'_>) -> Result<Option<Curve>> {
    Ok(match bytes.int_in_range(0..=6)? {
        0 => Some(Curve::Linear),
        1 => Some(Curve::Cosine),
        2 => Some(Curve::Sigmoid),
        3 => Some(Curve::Table(vec![0.0, number(bytes, 1.0)?, 1.0])),
        4 => Some(Curve::Table(Vec::new())),
        _ => None,
    })
}

fn operation(bytes: &mut Unstructured<'_>) -> Result<Operation> {
    let reason = "asked to".to_owned();
    Ok(match bytes.int_in_range(0..=15)? {
        0 => {
            let alpha = AlphaSettings {
                tempo: bytes.int_in_range(0..=8)?,
                unit: if bytes.ratio(1, 4)? { TempoUnit::Step } else { TempoUnit::Epoch },
                target: number(bytes, 1.0)?,
                curve: curve(bytes)?,
                steepness: number(bytes, 20.0)?,
            };
            let plan = BlendPlan { id: "sigmoid".to_owned(), alpha };
            let seed = if bytes.ratio(1, 16)? { "" } else { "s" };
            Operation::Germinate(Box::new(Germination {
                seed_params: bytes.arbitrary::<u16>()?.into(),
                host_params: bytes.arbitrary::<u16>()?.into(),
                ..Germination::new(seed, "b", plan)
            }))
        }
        1..=3 => Operation::Validation { accuracy: number(bytes, 100.0)? },
        4 | 5 => Operation::Gradients(GradientCapture {
            violation: bytes.ratio(1, 8)?,
            ..GradientCapture::new(number(bytes, 2.0)?, number(bytes, 2.0)?)
        }),
        6 => Operation::Counterfactual { contribution: number(bytes, 20.0)? - 2.0 },
        7 => Operation::Health { healthy: bytes.arbitrary()?, cause: "reported".to_owned() },
        8 => Operation::Tick,
        9 => Operation::Advance {
            target: if bytes.arbitrary()? { Some(*bytes.choose(&Stage::ALL)?) } else { None },
        },
        10 => Operation::SetAlphaTarget {
            target: number(bytes, 1.0)?,
            steps: bytes.int_in_range(0..=6)?,
            curve: curve(bytes)?,
        },
        11 => Operation::SchedulePrune { steps: bytes.int_in_range(0..=4)?, reason, curve: curve(bytes)? },
        12 if bytes.ratio(1, 4)? => Operation::Prune { reason },
        _ => Operation::StepEpoch,
    })
}

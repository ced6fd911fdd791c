//! A model's state in one process: what one model keeps, another goes on from, part by part.

use kasmina::lifecycle::Stage;
use kasmina::model::ModelState;
use kasmina::state::{EntryName, RestoredTensors, StateError};
use kasmina_tests::bench::Bench;
use kasmina_torch_ext::optim::OptimizerState;
use std::collections::BTreeMap;
use tch::Tensor;

/// What a model and its optimizer keep, copied.
struct Kept {
    model: ModelState,
    tensors: Vec<(String, Tensor)>,
    training: Vec<(String, Tensor)>,
    optimizer: OptimizerState,
    optimizer_tensors: Vec<(String, Tensor)>,
}

fn copied(tensors: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
    tensors.into_iter().map(|(name, tensor)| (name, tensor.detach().copy())).collect()
}

/// The bytes of every tensor, by name.
fn bytes(tensors: &[(String, Tensor)]) -> BTreeMap<String, Vec<u8>> {
    let of = |tensor: &Tensor| {
        let flat = tensor.reshape([-1]).contiguous();
        let mut bytes = vec![0; flat.numel() * flat.kind().elt_size_in_bytes()];
        flat.copy_data_u8(&mut bytes, flat.numel());
        bytes
    };
    tensors.iter().map(|(name, tensor)| (name.clone(), of(tensor))).collect()
}

fn named(tensors: &[(String, Tensor)]) -> BTreeMap<String, Tensor> {
    tensors.iter().map(|(name, tensor)| (name.clone(), tensor.copy())).collect()
}

impl Kept {
    fn of(bench: &Bench) -> Self {
        let (model, tensors) = bench.model.state().unwrap();
        Self {
            model,
            tensors: copied(tensors.model),
            training: copied(tensors.training),
            optimizer: bench.optimizer.kept(),
            optimizer_tensors: copied(bench.optimizer.state_tensors()),
        }
    }

    fn give(&self, bench: &mut Bench) -> Result<(), StateError> {
        self.give_with(bench, named(&self.tensors))
    }

    /// Gives the state back with these tensors of the network.
    fn give_with(&self, bench: &mut Bench, model: BTreeMap<String, Tensor>) -> Result<(), StateError> {
        let mut given = RestoredTensors { model, training: named(&self.training) };
        let Bench { model, registry, optimizer, .. } = bench;
        let resolve = |kind, name: &EntryName| registry.resolve(kind, &name.full_name());
        model.restore(&self.model, &mut given, &resolve, registry, optimizer)?;
        given.finish()?;
        let mut tensors = named(&self.optimizer_tensors);
        optimizer.take_over(&self.optimizer, &mut tensors).unwrap();
        assert_eq!(tensors.into_keys().collect::<Vec<_>>(), [""; 0], "the optimizer left some");
        Ok(())
    }

    /// Nothing that is kept differs, numbers and tensors.
    fn is(&self, other: &Self) {
        assert_eq!(self.model, other.model);
        assert_eq!(self.optimizer, other.optimizer);
        let all = |kept: &Self| [bytes(&kept.tensors), bytes(&kept.training), bytes(&kept.optimizer_tensors)];
        assert_eq!(all(self), all(other));
    }
}

/// A model with a seed in two slots, the first of them in this stage or later.
fn grown(stage: Stage) -> Bench {
    let mut bench = Bench::new(&["early", "mid"]);
    bench.germinate("early", "conv_light", "gated").unwrap();
    bench.reach(stage);
    bench.germinate("mid", "norm", "sigmoid").unwrap();
    bench.step();
    bench
}

#[test]
fn what_one_model_keeps_another_keeps_after_it_and_trains_on_alike() {
    for stage in [Stage::Germinated, Stage::Training, Stage::Blending, Stage::Holding, Stage::Fossilized] {
        let mut first = grown(stage);
        let kept = Kept::of(&first);
        let mut second = Bench::new(&["early", "mid"]);
        kept.give(&mut second).unwrap();
        kept.is(&Kept::of(&second));

        first.epoch(90.0, 2.0);
        first.step();
        second.epoch(90.0, 2.0);
        second.step();
        assert_eq!(first.weights(), second.weights(), "{stage:?}");
        Kept::of(&first).is(&Kept::of(&second));
    }
}

#[test]
fn an_empty_slot_of_the_state_empties_a_live_one() {
    let bare = Bench::new(&["early", "mid"]);
    let kept = Kept::of(&bare);
    let mut live = grown(Stage::Blending);
    kept.give(&mut live).unwrap();
    assert!(live.model.reports().iter().all(|report| report.stage == Stage::Dormant));
    assert_eq!(live.model.seed_parameters().count(), 0);
    assert_eq!(live.optimizer.owners().collect::<Vec<_>>(), bare.optimizer.owners().collect::<Vec<_>>());
    kept.is(&Kept::of(&live));
}

#[test]
fn a_live_seed_makes_way_for_the_one_of_the_state() {
    let other = grown(Stage::Training);
    let kept = Kept::of(&other);
    let mut live = Bench::new(&["early", "mid"]);
    live.germinate("early", "conv_small", "linear").unwrap();
    live.epoch(20.0, 2.0);
    kept.give(&mut live).unwrap();
    kept.is(&Kept::of(&live));
}

#[test]
fn a_state_that_does_not_fit_leaves_the_model_as_it_was() {
    let kept = Kept::of(&grown(Stage::Training));
    let mut live = Bench::new(&["early", "mid"]);
    live.germinate("early", "conv_small", "linear").unwrap();
    live.epoch(20.0, 2.0);
    let before = Kept::of(&live);
    let names: Vec<String> = kept.tensors.iter().map(|(name, _)| name.clone()).collect();
    for name in names {
        let mut without = named(&kept.tensors);
        without.remove(&name);
        let refused = kept.give_with(&mut live, without).unwrap_err();
        assert!(matches!(&refused, StateError::MissingTensor { name: told } if *told == name), "{refused}");
        before.is(&Kept::of(&live));

        let mut wider = named(&kept.tensors);
        wider.insert(name.clone(), Tensor::zeros([3, 5, 7], (tch::Kind::Float, tch::Device::Cpu)));
        let refused = kept.give_with(&mut live, wider).unwrap_err();
        assert!(
            matches!(&refused, StateError::TensorMismatch { name: told, .. } if *told == name),
            "{refused}"
        );
        before.is(&Kept::of(&live));
    }
    live.step();
}

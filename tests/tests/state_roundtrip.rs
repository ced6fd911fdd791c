//! Saving and restoring the state of a model and its optimizer, without files.

use kasmina::lifecycle::Stage;
use kasmina::model::ModelState;
use kasmina::state::{EntryName, RestoredTensors, StateError};
use kasmina_tests::bench::Bench;
use kasmina_torch_ext::optim::OptimizerState;
use std::collections::BTreeMap;
use tch::Tensor;

/// A copy of the state of a model and its optimizer.
struct SavedState {
    model: ModelState,
    tensors: Vec<(String, Tensor)>,
    training: Vec<(String, Tensor)>,
    optimizer: OptimizerState,
    optimizer_tensors: Vec<(String, Tensor)>,
}

fn copied(tensors: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
    tensors.into_iter().map(|(name, tensor)| (name, tensor.detach().copy())).collect()
}

/// Returns the bytes of every tensor, by name.
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

impl SavedState {
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

    fn restore(&self, bench: &mut Bench) -> Result<(), StateError> {
        self.restore_with(bench, named(&self.tensors))
    }

    /// Restores the state, but with these tensors of the network.
    fn restore_with(&self, bench: &mut Bench, model: BTreeMap<String, Tensor>) -> Result<(), StateError> {
        let mut restored = RestoredTensors { model, training: named(&self.training) };
        let Bench { model, registry, optimizer, .. } = bench;
        let resolve = |kind, name: &EntryName| registry.resolve(kind, &name.full_name());
        model.restore(&self.model, &mut restored, &resolve, registry, optimizer)?;
        restored.finish()?;
        let mut tensors = named(&self.optimizer_tensors);
        optimizer.take_over(&self.optimizer, &mut tensors).unwrap();
        assert_eq!(
            tensors.into_keys().collect::<Vec<_>>(),
            [""; 0],
            "the optimizer has not taken every tensor"
        );
        Ok(())
    }

    /// Asserts that all numbers and tensors are the same.
    fn assert_same(&self, other: &Self) {
        assert_eq!(self.model, other.model);
        assert_eq!(self.optimizer, other.optimizer);
        let all =
            |saved: &Self| [bytes(&saved.tensors), bytes(&saved.training), bytes(&saved.optimizer_tensors)];
        assert_eq!(all(self), all(other));
    }
}

/// A bench with two seeds, the first of them in this stage or a later one.
fn grown(stage: Stage) -> Bench {
    let mut bench = Bench::new(&["early", "mid"]);
    bench.germinate("early", "conv_light", "gated").unwrap();
    bench.reach(stage);
    bench.germinate("mid", "norm", "sigmoid").unwrap();
    bench.step();
    bench
}

#[test]
fn a_restored_model_has_the_same_state_and_trains_to_the_same_weights() {
    for stage in [Stage::Germinated, Stage::Training, Stage::Blending, Stage::Holding, Stage::Fossilized] {
        let mut first = grown(stage);
        let saved = SavedState::of(&first);
        let mut second = Bench::new(&["early", "mid"]);
        saved.restore(&mut second).unwrap();
        saved.assert_same(&SavedState::of(&second));

        first.epoch(90.0, 2.0);
        first.step();
        second.epoch(90.0, 2.0);
        second.step();
        assert_eq!(first.weights(), second.weights(), "{stage:?}");
        SavedState::of(&first).assert_same(&SavedState::of(&second));
    }
}

#[test]
fn an_empty_slot_of_the_state_empties_an_occupied_one() {
    let bare = Bench::new(&["early", "mid"]);
    let saved = SavedState::of(&bare);
    let mut live = grown(Stage::Blending);
    saved.restore(&mut live).unwrap();
    assert!(live.model.reports().iter().all(|report| report.stage == Stage::Dormant));
    assert_eq!(live.model.seed_parameters().count(), 0);
    assert_eq!(live.optimizer.owners().collect::<Vec<_>>(), bare.optimizer.owners().collect::<Vec<_>>());
    saved.assert_same(&SavedState::of(&live));
}

#[test]
fn a_seed_is_replaced_by_the_one_of_the_state() {
    let other = grown(Stage::Training);
    let saved = SavedState::of(&other);
    let mut live = Bench::new(&["early", "mid"]);
    live.germinate("early", "conv_small", "linear").unwrap();
    live.epoch(20.0, 2.0);
    saved.restore(&mut live).unwrap();
    saved.assert_same(&SavedState::of(&live));
}

#[test]
fn a_state_that_does_not_fit_leaves_the_model_as_it_was() {
    let saved = SavedState::of(&grown(Stage::Training));
    let mut live = Bench::new(&["early", "mid"]);
    live.germinate("early", "conv_small", "linear").unwrap();
    live.epoch(20.0, 2.0);
    let before = SavedState::of(&live);
    let names: Vec<String> = saved.tensors.iter().map(|(name, _)| name.clone()).collect();
    for name in names {
        let mut without = named(&saved.tensors);
        without.remove(&name);
        let refused = saved.restore_with(&mut live, without).unwrap_err();
        assert!(
            matches!(&refused, StateError::MissingTensor { name: missing } if *missing == name),
            "{refused}"
        );
        before.assert_same(&SavedState::of(&live));

        let mut wider = named(&saved.tensors);
        wider.insert(name.clone(), Tensor::zeros([3, 5, 7], (tch::Kind::Float, tch::Device::Cpu)));
        let refused = saved.restore_with(&mut live, wider).unwrap_err();
        assert!(
            matches!(&refused, StateError::TensorMismatch { name: mismatched, .. } if *mismatched == name),
            "{refused}"
        );
        before.assert_same(&SavedState::of(&live));
    }
    live.step();
}

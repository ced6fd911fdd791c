//! A program that embeds Kasmina. It loads plugins, builds a model, trains it in its own loop, germinates
//! seeds, swaps in a new build of a plugin during training, and fossilizes seeds that improve the network.
//!
//! The task is to classify the points of three spirals in the plane, for which the host alone is too small.

use kasmina::lifecycle::{Settings, Stage, TaskConfig};
use kasmina::model::{EpochInputs, Germinate, Stepper};
use kasmina::{Command, ModelConfig, MorphogeneticModel};
use kasmina_plugin_api::tch::{self, Device, Kind, Reduction, Tensor};
use kasmina_registry::{Origin, Policy, Registry, SearchPath};
use kasmina_torch_ext::optim::{AdamW, Optimizer};
use kasmina_torch_ext::rng::{RngFork, derive_seed};
use std::error::Error;
use std::path::{Path, PathBuf};

const EPOCHS: u32 = 60;
const BATCH: i64 = 100;
const SEED: u64 = 1;

fn main() -> Result<(), Box<dyn Error>> {
    tch::set_num_threads(1);
    let (train, validation) = (spirals(600, "train")?, spirals(300, "validation")?);

    // Plugins. `Policy::embedded` is for programs that name their plugins themselves: the named files are
    // trusted, and nothing else is searched. For plugins of others, `Policy::standard()` requires a signature
    // or a lock file.
    let library = own_library()?;
    let mut search = SearchPath::empty();
    search.extend([library.clone()], Origin::Named);
    let registry = Registry::load(&search, &Policy::embedded())?;

    // The model: the id of a host, and the slots that may grow. A few samples are passed through the host
    // once to find the shape of the features at each slot.
    let lifecycle = Settings { max_epochs: Some(EPOCHS), ..Settings::default() };
    let config = ModelConfig {
        host: "points".to_owned(),
        slots: vec!["layer0".to_owned(), "layer1".to_owned()],
        task: TaskConfig { lifecycle, ..TaskConfig::default() },
        seed: SEED,
        ..ModelConfig::default()
    };
    let mut model = MorphogeneticModel::build(&registry, &config, &train.0.f_narrow(0, 0, 4)?)?;

    // The optimizer. It has named parameter groups; the model adds and removes the groups of its seeds.
    let mut optimizer = Optimizer::new(AdamW::default(), 1e-2);
    model.register_host(&mut optimizer)?;

    // Runs whole training steps. On a GPU, steps are captured and replayed.
    let mut stepper = Stepper::new(&model)?;
    let mut loss = |logits: &Tensor, labels: &Tensor| {
        Ok(logits.f_cross_entropy_loss::<Tensor>(labels, None, Reduction::Mean, -100, 0.0)?)
    };

    let mut swapped = false;
    for epoch in 1..=EPOCHS {
        let order = {
            // Draws from a fork of torch's generators, so that the random numbers of the model do not change.
            let _fork = RngFork::seeded(derive_seed(SEED, &["order", &epoch.to_string()]))?;
            Tensor::f_randperm(train.1.size()[0], (Kind::Int64, Device::Cpu))?
        };
        for rows in order.f_split(BATCH, 0)? {
            let (x, y) = (train.0.f_index_select(0, &rows)?, train.1.f_index_select(0, &rows)?);
            // Some failures of plugins can be recovered from, and the step is repeated: a build on trial is
            // rolled back, and a panic is handled by the policy `ModelConfig::on_panic`. Other failures end
            // the program.
            while let Err(error) = stepper.step(&mut model, &mut optimizer, (&x, &y), &mut loss) {
                match model.recover(&registry, &mut optimizer)? {
                    Some(recovered) => println!("epoch {epoch:>2}: {recovered:?}"),
                    None => return Err(error.into()),
                }
            }
        }

        // The end of an epoch. One pass measures the accuracy of the network, and its accuracy without each
        // seed in the counterfactual plan.
        let plan = model.counterfactual_plan();
        let outputs = tch::no_grad(|| model.forward_counterfactual(&validation.0, &plan))?;
        let accuracies: Vec<f64> =
            outputs.iter().map(|logits| accuracy(logits, &validation.1)).collect::<Result<_, _>>()?;
        let (as_is, without) = accuracies.split_first().ok_or("there is always one output")?;
        // Passes the measurements to all slots (the time, 0 here, is only recorded). Then the lifecycle of
        // every slot makes one step.
        model.record_epoch(
            &EpochInputs { accuracy: *as_is, plan: &plan, without: without.to_vec(), unhealthy: Vec::new() },
            0,
        )?;
        model.step_epoch(&mut optimizer)?;

        // This program decides when to grow. Commands are the only way to change the structure of the model.
        for command in decide(epoch, &model) {
            if let Err(refusal) = model.execute(&command, &registry, &mut optimizer) {
                println!("epoch {epoch:>2}: refused ({}): {refusal}", refusal.code());
            }
        }

        // Swaps in another build of the plugin while one of its seeds is being blended in. `stage` checks,
        // probes and loads the build and may run on any thread. `adopt` swaps it in between two steps:
        // instances that can be replaced by those of the new build are replaced, and are on trial from then
        // on.
        if !swapped && model.slots().iter().any(|slot| slot.lifecycle().stage() == Stage::Blending) {
            let staged = registry.stage(&another_build(&library)?)?;
            let slots = model.adopt(&staged, &registry, &mut optimizer)?;
            println!("epoch {epoch:>2}: a new build of {} is on trial in {slots:?}", staged.plugin().name);
            swapped = true;
        }

        for event in model.drain_events().iter().filter(|event| event.kind.is_stage_level()) {
            println!("epoch {epoch:>2}: {}", kasmina_plugin_api::serde_json::to_string(event)?);
        }
        if epoch % 10 == 0 {
            println!("epoch {epoch:>2}: accuracy {as_is:.1} %");
        }
    }

    let fossils = model.slots().iter().filter(|slot| slot.lifecycle().stage() == Stage::Fossilized).count();
    println!("{fossils} fossilized; the new build was {}", if swapped { "taken" } else { "not taken" });
    if fossils == 0 || !swapped {
        return Err("this run should have grown, and should have taken a new build".into());
    }
    Ok(())
}

/// Returns the commands of an epoch: germinates one seed after another, each in the next free slot, and
/// fossilizes those with a contribution of at least one percentage point of accuracy.
fn decide(epoch: u32, model: &MorphogeneticModel) -> Vec<Command> {
    let reports = model.reports();
    if let Some(ready) =
        reports.iter().find(|r| r.stage == Stage::Holding && r.contribution.is_some_and(|c| c >= 1.0))
    {
        return vec![Command::Advance { slot: ready.slot.clone(), target: Some(Stage::Fossilized) }];
    }
    let growing = reports.iter().any(|r| r.seed_id.is_some() && r.stage != Stage::Fossilized);
    if growing || !(3..=EPOCHS / 2).contains(&epoch) {
        return Vec::new();
    }
    let free = reports.iter().find(|r| r.is_free());
    free.map(|r| Command::Germinate(Germinate::new(&r.slot, format!("{}-{epoch}", r.slot), "wide", "ramp")))
        .into_iter()
        .collect()
}

/// Returns the share of correctly classified samples in percent.
///
/// # Shapes
/// - `logits`: `[batch, classes]`
/// - `labels`: `[batch]`
fn accuracy(logits: &Tensor, labels: &Tensor) -> Result<f64, tch::TchError> {
    let hits = logits.f_argmax(-1, false)?.f_eq_tensor(labels)?;
    hits.f_to_kind(Kind::Double)?.f_mean(Kind::Double)?.f_mul_scalar(100.0)?.f_double_value(&[])
}

/// Returns points on three spirals with noise, and the spirals that they belong to.
///
/// # Shapes
/// - points: `[count, 2]`
/// - labels: `[count]`
fn spirals(count: i64, part: &str) -> Result<(Tensor, Tensor), Box<dyn Error>> {
    let _fork = RngFork::seeded(derive_seed(SEED, &["data", part]))?;
    let cpu = (Kind::Float, Device::Cpu);
    let labels = Tensor::f_arange(count, (Kind::Int64, Device::Cpu))?.f_remainder(3)?;
    let radius = Tensor::f_rand([count], cpu)?;
    let angle = labels.f_to_kind(Kind::Float)?.f_mul_scalar(std::f64::consts::TAU / 3.0)?;
    let angle =
        angle.f_add(&radius.f_mul_scalar(5.0)?)?.f_add(&Tensor::f_randn([count], cpu)?.f_mul_scalar(0.1)?)?;
    let points = [radius.f_mul(&angle.f_cos()?)?, radius.f_mul(&angle.f_sin()?)?];
    Ok((Tensor::f_stack(&points, 1)?.f_mul_scalar(2.0)?, labels))
}

/// Returns the path of the plugin library, which is built into the folder of this program.
fn own_library() -> Result<PathBuf, Box<dyn Error>> {
    let exe = std::env::current_exe()?;
    Ok(exe.parent().unwrap_or(Path::new(".")).join("libpoints.so"))
}

/// Writes a copy of the library with another hash, in place of a real new build. The added byte follows the
/// last section and is not read.
fn another_build(library: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let mut bytes = std::fs::read(library)?;
    bytes.push(0);
    let path = library.with_file_name("libpoints.next.so");
    std::fs::write(&path, bytes)?;
    Ok(path)
}

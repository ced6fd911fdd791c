//! `kasmina schema`.

use crate::args::{SchemaArgs, SchemaOf};
use crate::failure::Failure;
use crate::terminal;
use kasmina::Command;
use kasmina::lifecycle::{Event, QualityGates};
use kasmina_trainer::RunConfig;
use kasmina_trainer::compare::CompareConfig;
use kasmina_trainer::run::{CommandRow, EpochReport, LiveRow, SlotInfo, Summary};

/// The schema of declared blueprints. A test of the interpreter's crate compares it with the code.
const DECLARED: &str = include_str!("../../plugins/declared/blueprint.schema.json");

pub(crate) fn run(args: &SchemaArgs) -> Result<(), Failure> {
    let schema = match args.of {
        SchemaOf::Blueprint => {
            terminal::out(DECLARED);
            return Ok(());
        }
        SchemaOf::Gates => schemars::schema_for!(QualityGates),
        SchemaOf::Run => schemars::schema_for!(RunConfig),
        SchemaOf::Compare => schemars::schema_for!(CompareConfig),
        SchemaOf::Events => schemars::schema_for!(Event),
        SchemaOf::Commands => schemars::schema_for!(Command),
        SchemaOf::Metrics => schemars::schema_for!(EpochReport),
        SchemaOf::Journal => schemars::schema_for!(CommandRow),
        SchemaOf::Control => schemars::schema_for!(LiveRow),
        SchemaOf::Slots => schemars::schema_for!(Vec<SlotInfo>),
        SchemaOf::Summary => schemars::schema_for!(Summary),
    };
    terminal::out_json(&schema)?;
    Ok(())
}
